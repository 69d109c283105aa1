"""The whole controller in virtual time, against a simulated cluster that fails in every way it can: see README.md."""
