"""Addresses to listen on, as people write them: `HOST:PORT`, `[IPv6]:PORT`, `:PORT`."""

import ipaddress
import os
import socket
from typing import Literal

from assay.engine.errors import SetupError


def parse_address(text: str, what: str) -> tuple[str, int]:
    """Host and port of `text`; an empty host stands for every IPv4 interface, port 0 for any free port.

    Raises SetupError, which names `what` the address is for.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if (
        not colon
        or not port.isascii()
        or not port.isdigit()
        or int(port) > 65535
        or (":" in host and not bracketed)
    ):
        raise SetupError(f"the {what} address {text!r} is not HOST:PORT, for example 127.0.0.1:8080")
    return (host.strip("[]") or "0.0.0.0"), int(port)


def check_free(host: str, port: int, what: str) -> None:
    """Raises SetupError with the system's reason where nobody can listen on `host` and `port` now."""
    family = address_family(host)
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
    except OSError as error:
        raise cannot_listen(host, port, what, error) from error


def reserve(host: str, port: int, what: str) -> socket.socket:
    """A socket that keeps `port`, or any that is free for 0, for processes of this user that share it.

    It does not listen itself. Raises SetupError where another has the port."""
    check_free(host, port, what)
    reserved = socket.socket(address_family(host), socket.SOCK_STREAM)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((host, port))
    except OSError as error:
        reserved.close()
        raise cannot_listen(host, port, what, error) from error
    return reserved


def cannot_listen(host: str, port: int, what: str, error: OSError) -> SetupError:
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return SetupError(f"{what} cannot listen on {host}:{port}: {reason}")


def address_family(host: str) -> Literal[socket.AddressFamily.AF_INET, socket.AddressFamily.AF_INET6]:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def is_loopback(host: str) -> bool:
    """Whether `host`, an address or a name, means this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
