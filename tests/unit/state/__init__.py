"""The state store: its contract over every implementation, its schema, its failures."""
