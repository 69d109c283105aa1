"""Who speaks, and as whom the API server is asked for it."""
