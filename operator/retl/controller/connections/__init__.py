"""SyncSources, SyncDestinations and SyncModels: whether they can be used."""
