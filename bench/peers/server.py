"""A peer's processes, from start to end."""

import asyncio
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Self

from assay.bench.peers.client import PeerFault
from assay.bench.peers.launch import GRACE
from assay.bench.peers.peer import Peer
from assay.bench.peers.processes import cpu_seconds, descendants, end, tell
from assay.bench.peers.setup import Setup


@dataclass(frozen=True)
class Usage:
    """CPU seconds of all processes of a server, and of those that are not its workers."""

    all: float
    front: float

    def __sub__(self, earlier: Self) -> "Usage":
        return Usage(self.all - earlier.all, self.front - earlier.front)


class Server:
    """Started at once; `ready` waits until it answers. Ended by `stop`."""

    def __init__(self, peer: Peer, setup: Setup) -> None:
        self.peer, self.setup = peer, setup
        setup.folder.mkdir(parents=True, exist_ok=True)
        command = peer.command(setup)
        with (setup.folder / "log").open("wb") as log:
            self._launcher = subprocess.Popen(
                [sys.executable, "-P", "-m", "assay.bench.peers.launch", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=setup.folder,
                env=setup.environment() | peer.variables(setup),
            )

    def ready(self, images: list[bytes]) -> list[float]:
        """Probabilities of `images`, asked for until they come. Raises PeerFault where they do not."""
        seconds = self.peer.patience
        deadline = time.monotonic() + seconds
        while True:
            try:
                return asyncio.run(self._ask(images, deadline - time.monotonic()))
            except Exception as error:  # of a server that is not there yet, or will never be
                if self._launcher.poll() is not None:
                    raise PeerFault(f"ended before it answered: {self.last_words()}") from None
                if time.monotonic() > deadline:
                    raise PeerFault(
                        f"had no answer after {seconds:.0f} s ({str(error) or type(error).__name__}): "
                        f"{self.last_words()}"
                    ) from None
            time.sleep(0.2)

    def pause(self) -> None:
        """Stop all of its processes, some of which would use the cores while others are measured."""
        tell(descendants(self._launcher.pid), signal.SIGSTOP)

    def resume(self) -> None:
        tell(descendants(self._launcher.pid), signal.SIGCONT)

    def usage(self) -> Usage:
        """Since its start, of the processes that it has now."""
        used = cpu_seconds(descendants(self._launcher.pid))
        front = sum(spent for pid, spent in used.items() if not self.peer.is_worker(pid, self.setup))
        return Usage(sum(used.values()), front)

    def last_words(self) -> str:
        """The last line of its log, which often says what was wrong."""
        lines = (self.setup.folder / "log").read_text("utf-8", "replace").strip().splitlines()
        return lines[-1][-300:] if lines else "it said nothing"

    def terminate(self) -> None:
        """Ask it to end."""
        self.resume()
        self._launcher.terminate()

    def stop(self) -> None:
        """Return when it has ended, with all that it has started."""
        self.terminate()
        try:
            self._launcher.wait(GRACE + 15)
        except subprocess.TimeoutExpired:
            end(lambda: descendants(self._launcher.pid))
            self._launcher.kill()
            self._launcher.wait()

    async def _ask(self, images: list[bytes], seconds: float) -> list[float]:
        async with asyncio.timeout(seconds), self.peer.client(self.setup.port) as client:
            return [client.probability(await client.send(client.request(image))) for image in images]
