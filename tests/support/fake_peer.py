"""A peer that computes nothing: its probability of an image is a checksum. As a script it is the server."""

import asyncio
import subprocess
import sys
import zlib
from dataclasses import dataclass, field

from assay.bench.peers.client import HttpClient
from assay.bench.peers.peer import Peer
from assay.bench.peers.setup import Setup

SLEEPS = ["sleep", "600"]


@dataclass
class FakePeer(Peer):
    """`way`: right; wrong (answers something else), refuses (answers 500), silent (never answers), ends (at
    once), and after `after` images: dies, lies (answers something else), nan (answers that)."""

    name: str
    way: str = "right"
    after: int = 0
    missing: str | None = None
    patience: float = 60.0
    setups: list[Setup] = field(default_factory=list)

    packages = ()
    note = "computes nothing"

    def command(self, setup: Setup) -> list[str]:
        self.setups.append(setup)
        return [sys.executable, "-P", __file__, self.way, str(self.after)]

    def client(self, port: int) -> HttpClient:
        return HttpClient(port, "/score")

    def absent(self) -> str | None:
        return self.missing


def probability(image: bytes) -> float:
    return zlib.crc32(image) % 1000 / 1000


class Application:
    def __init__(self, way: str, after: int) -> None:
        self._way, self._after, self._answered = way, after, 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            length = 0
            while head.strip():
                name, _, value = head.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                head = await reader.readline()
            image = await reader.readexactly(length)
            writer.write(await self._answer(image))

    async def _answer(self, image: bytes) -> bytes:
        self._answered += 1
        late = self._answered > self._after
        if self._way == "silent":
            await asyncio.sleep(600)
        if self._way == "dies" and late:
            sys.exit(3)
        off = self._way == "wrong" or (self._way == "lies" and late)
        found = probability(image) + (0.5 if off else 0)
        body = str(float("nan") if self._way == "nan" and late else found).encode()
        status = "500 Broken" if self._way == "refuses" else "200 OK"
        await asyncio.sleep(0.002)
        return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def serve(way: str, after: int) -> None:
    setup = Setup.of_environment()
    setup.enter_worker()
    # nobody waits for these, and one has left the group
    subprocess.Popen(SLEEPS)
    subprocess.Popen(SLEEPS, start_new_session=True)
    server = await asyncio.start_server(Application(way, after), "127.0.0.1", setup.port)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "ends":
        sys.exit("no such option: --frobnicate")
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
