"""Any HTTP endpoint that takes JSON records."""
