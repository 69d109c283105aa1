"""What both dialects offer, once: syncs, runs and dead letters of one workspace, as one caller may see and change them.

`interface` is what the dialects see, in the terms of `values`; they only translate.
"""
