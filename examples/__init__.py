"""Things to try: a CRM to send rows to, manifests that run, and the demo that shows the whole on real parts."""
