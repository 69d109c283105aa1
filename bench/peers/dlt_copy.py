"""dlt's side of the comparison, run by the interpreter of its own virtual environment.

`dlt_copy.py SOURCE DESTINATION TABLE DIRECTORY`: merges the table into schema `dlt` of the destination, by primary key.
"""

import sys

import dlt  # type: ignore[import-not-found]
from dlt.sources.sql_database import sql_table  # type: ignore[import-not-found]

source, destination, table, directory = sys.argv[1:]
rows = sql_table(
    credentials=source.replace("postgresql:", "postgresql+psycopg2:"),
    schema="public",
    table=table,
    backend="connectorx",
    backend_kwargs={"conn": source, "protocol": "binary"},
)
rows.apply_hints(write_disposition={"disposition": "merge", "strategy": "upsert"}, primary_key="id")
pipeline = dlt.pipeline(
    "bench", destination=dlt.destinations.postgres(destination), dataset_name="dlt", pipelines_dir=directory
)
pipeline.run(rows, table_name=table, loader_file_format="parquet").raise_on_failed_jobs()
