"""The API under /api/v1/workspaces: its bodies, how they and its answers translate to the resources, and its routes."""
