"""An HTTP server of one's own before processes that run torch."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import uvicorn

from assay.bench.peers.setup import Setup
from assay.bench.peers.torch_network import TorchNetwork

Message = dict[str, Any]


class Batches:
    """Gives images, as they come, to whichever process is free, at most `batch` at once."""

    def __init__(self, setup: Setup) -> None:
        self._waiting: asyncio.Queue[tuple[bytes, asyncio.Future[float]]] = asyncio.Queue()
        pools = [ProcessPoolExecutor(1, get_context("spawn"), load, (setup,)) for _ in range(setup.workers)]
        self._feeders = [asyncio.create_task(self._feed(pool, setup.batch)) for pool in pools]

    async def score(self, image: bytes) -> float:
        found = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((image, found))
        answer: float = await found
        return answer

    async def _feed(self, pool: ProcessPoolExecutor, batch: int) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(pool, int)  # starts the process
        while True:
            taken = [await self._waiting.get()]
            while len(taken) < batch and not self._waiting.empty():
                taken.append(self._waiting.get_nowait())
            answers = await loop.run_in_executor(pool, run, [image for image, _ in taken])
            for (_, found), answer in zip(taken, answers, strict=True):
                found.set_result(answer)


_network: TorchNetwork


def load(setup: Setup) -> None:
    """In a worker's process, once."""
    global _network  # noqa: PLW0603
    _network = TorchNetwork(setup.bundle, setup.precision)
    setup.enter_worker()


def run(images: list[bytes]) -> list[float]:
    return _network(images)


class Application:
    """ASGI: the body of a request is an image, the answer its probability."""

    def __init__(self) -> None:
        self._batches: Batches | None = None

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        self._batches = self._batches or Batches(Setup.of_environment())
        parts, more = [], True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        answer = str(await self._batches.score(b"".join(parts))).encode()
        head = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    settings = uvicorn.Config(
        Application(), port=Setup.of_environment().port, log_level="warning", lifespan="off"
    )
    uvicorn.Server(settings).run()
