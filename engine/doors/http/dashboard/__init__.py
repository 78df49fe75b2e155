"""The dashboard on the HTTP door: a page, and what it is drawn from."""

from assay.engine.doors.http.dashboard.dashboard import Dashboard

__all__ = ["Dashboard"]
