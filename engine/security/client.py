"""How a client shows who it is and knows its server: files of certificates, and of a token."""

import ssl
from pathlib import Path

import grpc

from assay.engine.errors import SetupError
from assay.engine.security.watched import read_file


def channel_credentials(
    tls: bool = False,
    ca_file: Path | None = None,
    certificate_file: Path | None = None,
    key_file: Path | None = None,
) -> grpc.ChannelCredentials | None:
    """TLS as the files ask for it, None where nothing does; without `ca_file` it knows gRPC's authorities.

    Raises SetupError where a file is missing or wrong, or the key is not the certificate's.
    """
    if (certificate_file is None) != (key_file is None):
        raise SetupError("a client's certificate and its key belong together: give both files, or neither")
    if not (tls or ca_file or certificate_file):
        return None
    roots = read_file(ca_file) if ca_file else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ValueError):
            raise SetupError(f"{ca_file} holds no certificate as PEM") from None
    if certificate_file is None or key_file is None:
        return grpc.ssl_channel_credentials(roots)
    chain, key = read_file(certificate_file), read_file(key_file)
    try:
        # An empty password: a key that needs one is an error, and never a question on the terminal.
        context.load_cert_chain(certificate_file, key_file, password="")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        sentence = f"{certificate_file} and {key_file} are no certificate and its key: {reason}"
        raise SetupError(sentence) from None
    return grpc.ssl_channel_credentials(roots, key, chain)


def read_token(file: Path) -> str:
    """The token in `file`, which holds nothing else. Raises SetupError, with no part of what is in it."""
    try:
        token = read_file(file).decode("ascii").strip()
    except UnicodeDecodeError:
        token = ""
    if not token or not token.isprintable() or " " in token:
        raise SetupError(f"{file} holds no token: one line of ASCII without spaces, as the server knows it")
    return token
