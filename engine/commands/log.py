"""What the commands that run the engine log, and how."""

import logging

from assay.engine.printable import printable


class _Lines(logging.Formatter):
    """A record is one line, whatever names it has; a defect's traceback follows as it is."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return printable(super().formatMessage(record))


def start_log(level: int) -> None:
    """Log to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("kafka").setLevel(max(level, logging.WARNING))
