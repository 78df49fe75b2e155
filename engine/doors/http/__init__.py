"""The HTTP door: metrics and health."""

from assay.engine.doors.http.door import HttpDoor, HttpSettings

__all__ = ["HttpDoor", "HttpSettings"]
