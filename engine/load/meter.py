"""What a round costs, between the end of its warm-up and its last answer."""

from collections.abc import Mapping, Sequence

from assay.engine.load.clock import Clock, WallClock
from assay.engine.load.usage import Processes
from assay.engine.telemetry.nvml import GpuCollector


class Meter:
    """Reads `processes` and the energy of GPUs `devices` when it is told that the window opens and closes."""

    def __init__(self, processes: Processes, devices: Sequence[int] = (), clock: Clock | None = None) -> None:
        self._clock = clock or WallClock()
        self._processes = processes
        self._gpus = GpuCollector(devices, lambda: 0.0) if devices else None
        self.reset()

    def reset(self) -> None:
        """Forget the last window."""
        self.cpu: Mapping[str, float] = {}
        """Seconds of processor time by role; empty before the window closes."""
        self.joules: float | None = None
        self.span: tuple[float, float] | None = None
        """When the window opened and closed."""
        self._opened: tuple[float, Mapping[str, float], Mapping[str, float]] | None = None

    def __call__(self, open: bool) -> None:
        now = (self._clock.now(), self._processes.cpu(), self._gpus.joules() if self._gpus else {})
        if open:
            self._opened = now
        elif self._opened:
            start, cpu, joules = self._opened
            self.span = (start, now[0])
            self.cpu = {role: used - cpu.get(role, 0.0) for role, used in now[1].items()}
            if joules and joules.keys() == now[2].keys():
                self.joules = sum(now[2].values()) - sum(joules.values())
