"""The log on standard error, of a front and of its workers: lines of text, or of JSON."""

import json
import logging
from datetime import UTC, datetime
from typing import Any, Literal

from assay.engine.printable import printable

Format = Literal["text", "json"]

WORDS = "%(asctime)s %(levelname)s %(name)s: %(message)s"
ABOUT = ("image", "trace_id")
"""What a record about an image has beside its message; see `assay.engine.telemetry.about`."""

_chosen: Format = "text"


class Lines(logging.Formatter):
    """A record is one line, whatever names it has; a defect's traceback follows as it is."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return printable(super().formatMessage(record))


class JsonLines(logging.Formatter):
    """A record is one line, a JSON object, with a defect's traceback in it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        line |= {name: value for name in ABOUT if (value := getattr(record, name, None)) is not None}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_to_stderr(level: int, form: Format, words: str = WORDS) -> None:
    """Has the log of this process written to standard error, in the place of what was chosen before.

    words: of a line of text, as `logging.Formatter` takes them.
    """
    global _chosen  # noqa: PLW0603
    _chosen = form
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else Lines(words))
    root = logging.getLogger()
    for former in [one for one in root.handlers if isinstance(one.formatter, Lines | JsonLines)]:
        root.removeHandler(former)
    logging.basicConfig(level=level, handlers=[handler])


def chosen() -> Format:
    """The form of this process's log, which its workers' has too."""
    return _chosen
