"""Reverse ETL as Kubernetes resources: warehouse rows into the tools people work in."""

__version__ = "0.1.0"
