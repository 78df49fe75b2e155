"""Reading of single bits, the most significant first."""


class Bits:
    """The bits of a short piece of data.

    Raises:
        IndexError: a read goes beyond the end.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """The next `count` bits as a number."""
        self._left -= count
        if self._left < 0:
            raise IndexError(count)
        return self._value >> self._left & (1 << count) - 1

    def zeros(self) -> int:
        """How many zeros come before the next one, which is taken too; at most 32."""
        count = 0
        while not self.take(1):
            count += 1
            if count > 32:
                raise IndexError(count)
        return count

    def exp_golomb(self) -> int:
        """The next unsigned number in the code of the same name (`ue` of H.265, `uvlc` of AV1)."""
        count = self.zeros()
        return (1 << count) - 1 + self.take(count)
