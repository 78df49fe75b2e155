"""How much of the coded data of one file is read."""

from assay.engine.outcome import Reason, Refused

MAX_UNITS = 1 << 12
"""Units (OBU of AV1, NAL of HEVC) of all pictures together: a tile of 100 megapixels has two or three."""


class Units:
    """Counts the units that are read."""

    def __init__(self) -> None:
        self._left = MAX_UNITS

    def take(self) -> None:
        """
        Raises:
            Refused: `undecodable`: these are more than `MAX_UNITS`.
        """
        self._left -= 1
        if self._left < 0:
            raise Refused(
                Reason.UNDECODABLE,
                f"The file's coded data are cut into more than {MAX_UNITS} units.",
                limit=MAX_UNITS,
            )
