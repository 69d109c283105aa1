"""What connectors that speak HTTP share: one way to call, to log in, to read limits and words, to refuse addresses."""
