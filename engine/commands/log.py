"""What the commands that run the engine log, and how."""

import logging

from assay.engine.telemetry.logs import Format, log_to_stderr


def start_log(level: int, form: Format = "text") -> None:
    """Log to standard error."""
    log_to_stderr(level, form)
    logging.getLogger("kafka").setLevel(max(level, logging.WARNING))
