"""A real PostgreSQL and a real HTTP endpoint to write into."""

from tests.engine.conftest import endpoint, server, warehouse

__all__ = ["endpoint", "server", "warehouse"]
