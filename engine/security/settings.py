"""Settings of a door that say who may use it. All of them name files, so no secret stands in a setting."""

import logging
from pathlib import Path
from typing import Self

from pydantic import model_validator
from pydantic_settings import BaseSettings

from assay.engine.doors.address import is_loopback

log = logging.getLogger(__name__)


class Secured(BaseSettings):
    """What the doors that listen have in common. Files are read again when they change."""

    certificate_file: Path | None = None
    """PEM file of the server's certificate and those between it and its authority: turns TLS on."""
    key_file: Path | None = None
    """PEM file of that certificate's private key, without a password."""
    client_ca_file: Path | None = None
    """PEM file of the authorities whose client certificates are let in; others are not (mTLS)."""
    tokens_file: Path | None = None
    """File of bearer tokens, a line each: name, token or `sha256:` and its hash, and where wanted the calls
    that it may make in a second."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together")
        if self.client_ca_file and not self.certificate_file:
            raise ValueError("client_ca_file needs certificate_file and key_file")
        return self


def warn_if_open(what: str, host: str, settings: Secured) -> None:
    """One line in the log where anybody on a network is let in, or could read what is sent."""
    if is_loopback(host) or settings.client_ca_file or (settings.certificate_file and settings.tokens_file):
        return
    lacks = [] if settings.certificate_file else ["TLS"]
    lacks += [] if settings.tokens_file else ["tokens"]
    log.warning("%s on %s is open beyond this machine without %s", what, host, " and ".join(lacks))
