"""The source connectors that come with the package."""

from retl.runspec.connectors import Registry

SOURCES = Registry(
    side="source",
    builtin={"postgres": "retl.sources.configs:POSTGRES", "duckdb": "retl.sources.configs:DUCKDB"},
    group="retl.sources",
)
