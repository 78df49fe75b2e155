"""Who may use a door: TLS, client certificates and bearer tokens, for gRPC and HTTP alike."""

from assay.engine.security.settings import Secured, warn_if_open
from assay.engine.security.tls import Certificates
from assay.engine.security.tokens import Tokens

__all__ = ["Certificates", "Secured", "Tokens", "warn_if_open"]
