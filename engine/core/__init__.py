"""The front: admission, the byte budget, the queue, and the runners that hand items to workers."""

from assay.engine.core.core import Core

__all__ = ["Core"]
