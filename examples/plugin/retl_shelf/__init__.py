"""A destination connector of one's own."""
