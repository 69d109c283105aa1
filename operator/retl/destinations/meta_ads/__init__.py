"""Meta custom audiences: people by what identifies them, normalised and hashed."""
