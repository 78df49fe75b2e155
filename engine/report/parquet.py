"""`assay scan --parquet`: outcomes as a table for analysis. pyarrow is loaded when it is asked for."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.engine.errors import SetupError
from assay.engine.outcome import Outcome, Verdict

ROWS = 1000
"""Rows of a row group; so many are held at a time."""


class Table:
    """Writes outcomes into a Parquet file.

    Columns are those of `outcome.to_dict()` behind `path`: text as text, `probability` as double, `scores`
    and `seconds` as maps of doubles, `doubts` as a list of text, `evidence` and `about` as JSON text; null
    where one does not apply. What a path has that is no Unicode is spelt out, as in `\\xff`.
    """

    def __init__(self, arrow: Any, writer: Any, schema: Any) -> None:
        self._arrow = arrow
        self._writer = writer
        self._schema = schema
        self._rows: list[dict[str, Any]] = []

    def __call__(self, path: Path, outcome: Outcome) -> None:
        record = outcome.to_dict()
        for name in ("path", "id", "detail"):
            if name in record:
                record[name] = _unicode(record[name])
        for name in ("evidence", "about"):
            if name in record:
                record[name] = json.dumps(record[name])
        if isinstance(outcome, Verdict):
            record["scores"], record["seconds"] = list(outcome.scores.items()), list(outcome.seconds.items())
        self._rows.append({"path": _unicode(str(path)), **record})
        if len(self._rows) >= ROWS:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._arrow.Table.from_pylist(self._rows, self._schema))
            self._rows.clear()


@contextmanager
def parquet_table(file: Path) -> Iterator[Table]:
    """The table of `file`; complete when the block ends.

    Raises:
        SetupError: pyarrow is not installed, or the file cannot be written, at first or later.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise SetupError(
            "--parquet needs pyarrow, which is not installed: pip install 'assay[parquet]'"
        ) from None
    text, numbers = arrow.string(), arrow.map_(arrow.string(), arrow.float64())
    schema = arrow.schema(
        [
            *((name, text) for name in ("path", "id", "label")),
            ("probability", arrow.float64()),
            ("scores", numbers),
            *((name, text) for name in ("bundle", "version", "evidence")),
            ("seconds", numbers),
            ("doubts", arrow.list_(text)),
            *((name, text) for name in ("rejected", "detail", "about")),
        ]
    )
    try:
        with file.open("wb") as sink, parquet.ParquetWriter(sink, schema) as writer:
            table = Table(arrow, writer, schema)
            try:
                yield table
            finally:
                table.flush()
    except OSError as error:
        raise SetupError(f"{file} cannot be written: {error.strerror or error}") from None


def _unicode(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
