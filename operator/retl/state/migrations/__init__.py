"""How the state database's schema came to be: one revision a change, run when the database is opened.

A new one is written by hand in `versions/`, changes `tables` alike, and becomes `tables.REVISION`.
"""
