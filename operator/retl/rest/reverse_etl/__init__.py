"""Dialect 2: /api/reverse-etl, also under /v1. It only translates; what happens is decided in `rest.service`."""
