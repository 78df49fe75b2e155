"""Settings of the engine. Each can be given in code, in a TOML file, or as an environment variable.

The variable of a field is `ASSAY_` and its name in capitals, of a nested field with two underscores between:
`ASSAY_WORKERS=4`, `ASSAY_DEVICES=0,1`, `ASSAY_LIMITS__MAX_BYTES=10485760`.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from assay.engine.config import environment
from assay.engine.registry import DECODERS, EXECUTORS

if TYPE_CHECKING:
    ExecutorName = str
    DecoderName = str
else:
    ExecutorName = Literal[("auto", *EXECUTORS)]
    DecoderName = Literal[("auto", *DECODERS)]
PrecisionName = Literal["auto", "fp32", "bf16", "fp16", "int8"]

MIB = 1 << 20
DAY = 86400.0


class Limits(BaseModel):
    """What admission refuses before anything is decoded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_bytes: int = Field(20 * MIB, gt=0, lt=1 << 31)
    """Largest encoded image, in bytes."""
    max_pixels: int = Field(100_000_000, gt=0, lt=1 << 31)
    """Largest width times height that a header may claim."""
    max_scans: int = Field(100, gt=0, lt=1 << 31)
    """Most scans that a progressive JPEG may hold."""


GPU_ENCODED = 128 * MIB
"""Encoded bytes that a batch for a GPU may hold: 64 images of 2 MB."""
GPU_DECODED = 4096 * MIB
"""Bytes of the budget that a batch for a GPU may hold; two of them lie in its memory at a time."""


def granted_memory() -> int:
    """Bytes of memory that the cgroup grants this process, or the machine where no cgroup limits it."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            return min(machine, int(text))
    return machine


class Settings(BaseSettings):
    """How the engine runs, whatever the doors."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_", extra="forbid", frozen=True, allow_inf_nan=False)

    workers: int = Field(default_factory=lambda: len(os.sched_getaffinity(0)), ge=0, le=1024)
    """Worker processes, one a core by default; 0 scores inside this process."""
    devices: tuple[Annotated[int, Field(ge=0, le=1023)], ...] = ()
    """GPUs by number, one worker process each, in the place of `workers`; none: workers run on CPU cores. As
    text `0,1`."""
    executor: ExecutorName = "auto"
    """What runs the graphs; `auto` takes OpenVINO on a CPU, and on a GPU TensorRT where it knows the GPU,
    else `torch`, which converts the bundle's ONNX graphs, else `onnxruntime`. Naming `torch_export` means
    trusting the bundle: loading its `.pt2` files may run what is in them."""
    batch: int = Field(default_factory=lambda data: 64 if data.get("devices") else 4, gt=0, le=65536)
    """Most images that a worker takes at once, by default 4 on a CPU core, where the cache is the limit, and
    64 on a GPU."""
    memory: int = Field(default_factory=lambda: granted_memory() // 2, gt=0, lt=1 << 62)
    """Byte budget for encoded, decoded and intermediate data of all images in the engine."""
    queue_seconds: float = Field(0.75, gt=0, le=DAY)
    """Most seconds of work, as long as images take at present, that may wait for the workers ahead of a gRPC
    call: beyond it calls are refused at once with a hint when to come again. Streams fill half of it and then
    are read no further; folders and Kafka wait for room in `memory` alone."""
    limits: Limits = Limits()
    decoder: DecoderName = "auto"
    """`turbo`: libjpeg-turbo and Pillow, image by image. `dali` and `nvimgcodec`: NVIDIA's libraries behind a
    strict check. `auto` is turbo on a CPU, and on a GPU dali or, where that is not installed, nvimgcodec."""
    precision: PrecisionName = "auto"
    """`auto` takes the fastest that the bundle offers and the device computes in, else fp32."""
    allow_unmeasured: bool = False
    """Serve a precision that the bundle's manifest does not list as measured."""
    provenance: Literal["off", "report", "act"] = "report"
    """What an image's metadata say of its origin: not looked at, part of the evidence, or, with `act`, also
    what makes the label `synthetic` where they declare a generator. Scores and probability never change."""
    trust_list: Path | None = None
    """A PEM file of certificates: whose signatures under C2PA manifests are trusted."""
    worker_timeout: float = Field(
        default_factory=lambda data: 60.0 if data.get("devices") else 5.0, gt=0, le=DAY
    )
    """Seconds of processor time that a worker may take for a small image, by default 5; large ones, and slow
    detectors, are given more. An image that takes longer is refused, and the worker replaced. A worker that
    does not answer is given twelve times as long by the clock. On a GPU: seconds by the clock, by default
    60."""
    start_timeout: float = Field(
        default_factory=lambda data: 900.0 if data.get("devices") else 120.0, gt=0, le=DAY
    )
    """Seconds that a new worker may take until it has scored the built-in image, by default 120; on a
    GPU 900, because graphs may be compiled at the first start."""

    @property
    def slot_bytes(self) -> int:
        """Most encoded bytes of one batch."""
        return max(self.limits.max_bytes, GPU_ENCODED if self.devices else 0)

    @property
    def batch_bytes(self) -> int:
        """Most bytes of the budget that one batch may hold, but for an image that runs alone."""
        return min(self.memory // 4, GPU_DECODED) if self.devices else self.memory // 4

    @field_validator("devices", mode="before")
    @classmethod
    def _from_text(cls, devices: Any) -> Any:
        """`0,1` as options and variables have it, or a JSON list."""
        if not isinstance(devices, str):
            return devices
        try:
            listed = json.loads(devices if devices.lstrip().startswith("[") else f"[{devices}]")
        except (ValueError, RecursionError):
            listed = []
        if not (listed or "[" in devices) or not all(type(one) is int for one in listed):
            raise ValueError("GPUs are named by their numbers, such as 0,1")
        return listed

    @field_validator("devices")
    @classmethod
    def _once(cls, devices: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(devices)) < len(devices):
            raise ValueError("each GPU can be named once")
        return devices

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *others: PydanticBaseSettingsSource,
        **named: PydanticBaseSettingsSource,
    ) -> tuple[Any, ...]:
        """In code, too, the environment is read as the command line reads it."""
        return init_settings, lambda: environment(settings_cls)
