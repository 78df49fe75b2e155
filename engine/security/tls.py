"""Certificates of a door, read again when their files change: each new connection meets the latest."""

import ssl
from dataclasses import dataclass

import grpc

from assay.engine.errors import SetupError
from assay.engine.security.settings import Secured
from assay.engine.security.watched import Watched, read_file


@dataclass(frozen=True)
class _Loaded:
    context: ssl.SSLContext
    configuration: grpc.ServerCertificateConfiguration


class Certificates:
    """Raises SetupError where a file is missing, wrong, or the key is not the certificate's."""

    def __init__(self, settings: Secured) -> None:
        assert settings.certificate_file is not None
        assert settings.key_file is not None
        self._certificate = settings.certificate_file
        self._key = settings.key_file
        self._client_ca = settings.client_ca_file
        files = [self._certificate, self._key, *([self._client_ca] if self._client_ca else [])]
        self._loaded = Watched(files, self._load)

    def context(self) -> ssl.SSLContext:
        """For one connection over a socket."""
        return self._loaded.get().context

    def credentials(self) -> grpc.ServerCredentials:
        """For a gRPC port, which asks again at each connection."""
        return grpc.dynamic_ssl_server_credentials(
            self._loaded.get().configuration,
            lambda: self._loaded.get().configuration,
            require_client_authentication=self._client_ca is not None,
        )

    def _load(self) -> _Loaded:
        key, chain = read_file(self._key), read_file(self._certificate)
        roots = read_file(self._client_ca) if self._client_ca else None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # An empty password: a key that needs one is an error, and never a question on the terminal.
            context.load_cert_chain(self._certificate, self._key, password="")
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise SetupError(
                f"{self._certificate} and {self._key} are no certificate and its key: {reason}"
            ) from None
        if self._client_ca:
            try:
                context.load_verify_locations(self._client_ca)
            except (OSError, ValueError):
                raise SetupError(f"{self._client_ca} holds no certificate as PEM") from None
            context.verify_mode = ssl.CERT_REQUIRED
        return _Loaded(context, grpc.ssl_server_certificate_configuration([(key, chain)], roots))
