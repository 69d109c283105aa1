"""SyncRuns: one execution each, from the reservation over its Jobs to its record."""
