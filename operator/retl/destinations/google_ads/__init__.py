"""Google customer match, through the Data Manager API: members of audiences, normalised and hashed."""
