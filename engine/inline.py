"""A worker inside the front's own process (`workers=0`): for tests, debugging and notebooks."""

import traceback
from collections import deque
from collections.abc import Sequence

from assay.engine import telemetry
from assay.engine.bundle import Bundle
from assay.engine.outcome import Outcome
from assay.engine.settings import Settings
from assay.engine.ticket import Ticket
from assay.engine.worker.process import WorkerLost
from assay.engine.worker.scorer import Job, Scorer


class InlineWorker:
    """Answers as a `WorkerProcess` does, computed in the thread that asks."""

    pid = None

    def __init__(self, bundles: Sequence[Bundle], settings: Settings) -> None:
        self._scorer = Scorer(bundles, settings)
        self._scorer.self_test()
        self.description = self._scorer.description
        for graph in self._scorer.graphs:
            telemetry.GRAPHS.labels(*graph).set(1)
        self._batches: deque[Sequence[Ticket]] = deque()

    def check(self) -> None:
        """Always there."""

    def send(self, tickets: Sequence[Ticket]) -> None:
        self._batches.append(tickets)

    def receive(self) -> list[Outcome]:
        tickets = self._batches.popleft()
        jobs = [Job(ticket.item.data, ticket.header) for ticket in tickets]
        try:
            if tickets[0].item.drawn:
                from assay.engine.explain.drawn import draw

                return [draw(self._scorer, tickets[0].bundle, jobs[0], self._scorer.decode(jobs))]
            return self._scorer.score(tickets[0].bundle, jobs)
        except Exception as error:
            traceback.print_exc()
            raise WorkerLost(f"{type(error).__name__}: {error}") from error

    def interrupt(self) -> None:
        """Not to be interrupted; a batch takes milliseconds."""

    def kill(self) -> None:
        """Nothing to end."""
