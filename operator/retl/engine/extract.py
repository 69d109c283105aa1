"""Rows out of the source, as the stream of Arrow batches that the mapping reads.

Columns that nothing uses are dropped, the others are renamed by position (c0, c1 …), so that no name in a query can
collide with another. An error of the source is kept: DuckDB, which reads the stream, would hand on only its text.
"""

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa


class Extract:
    """One reading of the source.

    Args:
        read: is told the number of rows read so far, from the reading thread.
    Attributes:
        rows: rows read so far.
    """

    def __init__(self, reader: pa.RecordBatchReader, columns: Sequence[int], read: Callable[[int], None]) -> None:
        self.rows = 0
        self._error: BaseException | None = None
        self._reader = reader
        self._read = read
        self._columns = list(columns)
        self._schema = pa.schema([pa.field(f"c{i}", reader.schema.field(at).type) for i, at in enumerate(columns)])

    def stream(self) -> pa.RecordBatchReader:
        """The rows; can be read once."""
        return pa.RecordBatchReader.from_batches(self._schema, self._batches())

    def take_error(self) -> BaseException | None:
        """What the source raised, if it did; it is kept no longer, because its traceback keeps this extract."""
        error, self._error = self._error, None
        return error

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._reader:
                self.rows += batch.num_rows
                self._read(self.rows)
                yield pa.RecordBatch.from_arrays([batch.column(at) for at in self._columns], schema=self._schema)
        except BaseException as error:
            self._error = error
            raise
