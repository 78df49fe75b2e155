"""A gRPC server, and how it is met."""

from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from assay.engine.wire.pieces import MAX_MESSAGE

OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.enable_retries", 0),  # each image is one call, or its latency would be that of another
    ("grpc.use_local_subchannel_pool", 1),  # each channel has a connection of its own
)
LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Place:
    """`address` as `HOST:PORT`, with TLS where there are `credentials`; `token` goes with each call. Its
    `bundle` scores, or its first one."""

    address: str
    credentials: grpc.ChannelCredentials | None = None
    token: str | None = None
    bundle: str = ""

    @property
    def local_port(self) -> int | None:
        """Where the server is on this machine, as its address says, its port."""
        host, _, port = self.address.rpartition(":")
        return int(port) if host.strip("[]") in LOCAL and port.isdigit() else None

    @property
    def metadata(self) -> Sequence[tuple[str, str]]:
        return [("authorization", f"Bearer {self.token}")] if self.token else []

    def open(self) -> grpc.Channel:
        """A connection of its own; it is made when the first call is."""
        if self.credentials:
            return grpc.secure_channel(self.address, self.credentials, OPTIONS)
        return grpc.insecure_channel(self.address, OPTIONS)
