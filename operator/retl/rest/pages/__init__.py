"""What the API says of itself: its OpenAPI description, and a page for people made of it."""
