"""Runs one RunSpec: connectors from their registries, the engine, and in a pod the termination message."""
