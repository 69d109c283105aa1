"""Iterable: users, list members, catalog items and events of a project."""
