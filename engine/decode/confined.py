"""A decoder whose images may take the memory that was reserved for them, and hardly more.

Headers can lie in ways that admission does not see. What a decoder is refused it reports as an error of the
one image; the process, and its neighbours in the batch, go on.
"""

import re
from collections.abc import Sequence

from assay.engine.ceiling import ceiling, grantable
from assay.engine.decode import Decoded, Decoder, Encoded
from assay.engine.outcome import Reason, Refused

MARGIN = 16 << 20
"""Bytes that a decoder may take beside the reserved ones: tables, and pieces that the allocator keeps."""
_SHARE = 8
"""One part in this many of the reservation comes on top: it is a measured figure, not a bound."""

_OUT_OF_MEMORY = re.compile(
    r"MemoryError|(out of|insufficient|not enough|no) memory|(not|unable to|failed to) allocate|malloc",
    re.IGNORECASE,
)


def allowed(encoded: Encoded) -> int:
    """Bytes that decoding an image may take, its copies of the encoded bytes included."""
    data, header = encoded
    reserved = len(data) + header.peak_bytes
    return reserved + reserved // _SHARE


class ConfinedDecoder:
    """A `Decoder` for a worker on a CPU. `decode` raises MemoryError where the machine itself has none."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def decode(self, batch: Sequence[Encoded]) -> list[Decoded]:
        try:
            with ceiling(sum(map(allowed, batch)) + MARGIN):
                results = self._decoder.decode(batch)
        except MemoryError as error:
            words = str(error)
        else:
            return [_explained(result, encoded) for result, encoded in zip(results, batch, strict=True)]
        # outside of the handler, which would keep what the failed call held alive
        if len(batch) == 1:
            return [_refused(batch[0], words)]
        # a copy of each: the decoder may write the next one into the same memory
        return [
            result if isinstance(result, Refused) else result.copy()
            for encoded in batch
            for result in self.decode([encoded])
        ]


def _explained(result: Decoded, encoded: Encoded) -> Decoded:
    """A refusal whose words are about memory says so in ours."""
    if isinstance(result, Refused) and _OUT_OF_MEMORY.search(result.detail):
        return _refused(encoded, result.detail)
    return result


def _refused(encoded: Encoded, words: str) -> Refused:
    header, most = encoded[1], allowed(encoded) + MARGIN
    if not grantable(most):
        raise MemoryError(f"the machine has no {most >> 20} MiB for decoding an image: {words}")
    return Refused(
        Reason.UNDECODABLE,
        f"Decoding this {header.name} takes more memory than the {most >> 20} MiB that its "
        f"{header.width}x{header.height} pixels allow ({words.rstrip('.') or 'MemoryError'}).",
        format=header.format,
        width=header.width,
        height=header.height,
        limit=most,
    )
