"""The connections of a server, closed without gRPC's word.

gRPC's own end answers CANCELLED to calls that reach a stopped server before their client knows, which reads
as the caller's own doing and is never tried again. A connection that closes is UNAVAILABLE to both sides.
"""

import os
import socket
import stat
from contextlib import ExitStack, suppress


def close_connections(port: int) -> None:
    """Closes what this process listens on at `port`, and the connections that it has there; nothing where
    there is no /proc.

    What listens goes first: a client that is cut off comes back at once. gRPC logs that it lost it.
    """
    with ExitStack() as stack, suppress(FileNotFoundError):
        found = []
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # closed meanwhile
                if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                    handle = stack.enter_context(socket.socket(fileno=os.dup(int(name))))
                    if _is_at(handle, port):
                        found.append(handle)
        for each in sorted(found, key=_listens, reverse=True):
            with suppress(OSError):  # the peer was faster
                each.shutdown(socket.SHUT_RDWR)


def _is_at(each: socket.socket, port: int) -> bool:
    tcp = each.family in (socket.AF_INET, socket.AF_INET6) and each.type == socket.SOCK_STREAM
    return tcp and bool(each.getsockname()[1] == port)


def _listens(each: socket.socket) -> int:
    return each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
