"""Servers side by side: started together, checked against each other, loaded in turn, round after round."""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from assay.bench.peers.client import PeerFault
from assay.bench.peers.load import Answer, Load, closed, opened
from assay.bench.peers.peer import Peer
from assay.bench.peers.server import Server, Usage
from assay.bench.peers.setup import BATCH, WORKERS, Setup
from assay.bench.peers.table import Measured, Results

LOOSE = 0.25
"""Largest difference of probabilities where servers choose precisions of their own."""


@dataclass(frozen=True)
class Plan:
    """How much is measured. Seconds are of one server in one round."""

    rounds: int = 10
    outstanding: int = 64
    warm_up: float = 0.4
    full: float = 1.8
    half: float = 1.2


class Harness:
    """`peers`, the first of which the others are compared with, on `images` through a bundle.

    `tell` gets a sentence whenever something did not go as it should; `kept` is called after each round.
    """

    def __init__(
        self,
        peers: Sequence[Peer],
        bundle: Path,
        images: list[bytes],
        plan: Plan,
        scratch: Path,
        tell: Callable[[str], None],
    ) -> None:
        self._peers, self._bundle, self._images, self._plan = peers, bundle, images, plan
        self._scratch, self._tell = scratch, tell
        self._wanted: list[float] = []
        """The first server's probabilities of the images."""

    def run(self, precision: str, kept: Callable[[Results], None]) -> Results:
        """All rounds in one precision. A server that fails is left out from then on; the first one's fault
        is raised as PeerFault, since nothing could be compared."""
        results = Results(precision, BATCH, WORKERS)
        servers: dict[str, Server] = {}
        try:
            self._start([peer for peer in self._peers if precision in peer.precisions], servers, results)
            self._check(servers, results)
            for number in range(self._plan.rounds):
                self._round(number, servers, results)
                kept(results)
        finally:
            for server in servers.values():
                server.terminate()
            for server in servers.values():
                server.stop()
        return results

    def _start(self, peers: Sequence[Peer], servers: dict[str, Server], results: Results) -> None:
        for peer, port in zip(peers, free_ports(len(peers)), strict=True):
            results.rounds[peer.name] = []
            folder = self._scratch / f"{peer.name.replace(' ', '-').lower()}-{results.precision}"
            try:
                servers[peer.name] = Server(peer, Setup(self._bundle, results.precision, port, folder))
            except Exception as error:
                self._leave(peer.name, servers, results, error)

    def _check(self, servers: dict[str, Server], results: Results) -> None:
        """All are ready, and say the same of the same images."""
        for name, server in list(servers.items()):
            try:
                found = server.ready(self._images)
                if server.peer is self._peers[0]:
                    self._wanted = found
                results.differences[name] = self._compare(found, range(len(found)), server)
                server.pause()
            except Exception as error:
                self._leave(name, servers, results, error)

    def _round(self, number: int, servers: dict[str, Server], results: Results) -> None:
        for name in in_turn(list(servers), number):
            server = servers[name]
            try:
                server.resume()
                loads = asyncio.run(self._load(server, number))
                server.pause()
                numbers = [answer.number for answer in (*loads.full.answers, *loads.half)]
                difference = self._compare(loads.probabilities, numbers, server)
                results.differences[name] = max(results.differences[name], difference)
                results.rounds[name].append(measured(loads.full, loads.half))
            except Exception as error:
                self._leave(name, servers, results, error)
        for runs in results.rounds.values():
            runs.extend([None] * (number + 1 - len(runs)))

    async def _load(self, server: Server, number: int) -> "Loads":
        plan = self._plan
        async with server.peer.client(server.setup.port) as client:
            requests = [client.request(image) for image in self._images]
            full = await closed(
                client, requests, plan.outstanding, plan.warm_up, plan.full, lambda: Clock.of(server)
            )
            half = await opened(client, requests, len(full.answers) / full.seconds / 2, plan.half, number)
            found = [client.probability(answer.body) for answer in (*full.answers, *half)]
        return Loads(full, half, found)

    def _compare(self, found: Sequence[float], numbers: Sequence[int], server: Server) -> float:
        """The largest difference from what the first server says. Raises PeerFault where it is too large."""
        allowed = LOOSE if server.setup.precision == "best" else server.peer.tolerance
        differences = [abs(one - self._wanted[number]) for one, number in zip(found, numbers, strict=True)]
        for each in differences:
            if not each <= allowed:  # of NaN, too
                raise PeerFault(f"gives a probability that differs by {each:.4f}, more than {allowed}")
        return max(differences)

    def _leave(self, name: str, servers: dict[str, Server], results: Results, error: Exception) -> None:
        said = str(error) or type(error).__name__
        if name == self._peers[0].name:
            raise PeerFault(f"{name} {said}") from error
        self._tell(f"{name} in {results.precision}, after {len(results.of(name))} rounds: {said}")
        if server := servers.pop(name, None):
            server.stop()


@dataclass(frozen=True)
class Clock:
    """CPU that a server, and this process as its client, have used up to a moment."""

    server: Usage
    client: float

    @classmethod
    def of(cls, server: Server) -> "Clock":
        return cls(server.usage(), time.process_time())


@dataclass(frozen=True)
class Loads:
    """One round of one server; `probabilities` are of the answers of both, in their order."""

    full: Load[Clock]
    half: list[Answer]
    probabilities: list[float]


def measured(full: Load[Clock], half: list[Answer]) -> Measured:
    count = len(full.answers)
    used = full.after.server - full.before.server
    return Measured(
        count / full.seconds,
        tuple(answer.seconds for answer in full.answers),
        tuple(answer.seconds for answer in half),
        used.all / count,
        used.front / count,
        (full.after.client - full.before.client) / count,
    )


def in_turn(names: list[str], number: int) -> list[str]:
    """The order of a round: each starts as often as another, and every second round runs backwards."""
    start = number // 2 % len(names)
    turned = names[start:] + names[:start]
    return turned[::-1] if number % 2 else turned


def free_ports(count: int) -> list[int]:
    """As many different ones, free a moment ago."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
