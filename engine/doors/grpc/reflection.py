"""What reflection looks descriptors up in: protobuf's default pool, and the one of the inference protocol."""

from collections.abc import Callable
from typing import Any

from google.protobuf import descriptor_pool

from assay.engine.wire.inference import POOL


class Descriptors:
    """Has the methods of a pool that reflection calls. Each raises KeyError for what neither pool has."""

    def __init__(self) -> None:
        self._pools: list[Any] = [descriptor_pool.Default(), POOL]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def find(*arguments: Any) -> Any:
            for pool in self._pools[:-1]:
                try:
                    return getattr(pool, name)(*arguments)
                except KeyError:
                    pass
            return getattr(self._pools[-1], name)(*arguments)

        return find
