"""Media types that the API server gives and takes."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
"""A change as RFC 7386 writes it."""
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""Of an object only what every kind has."""
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
