"""Our connectors through the kit that every connector goes through."""
