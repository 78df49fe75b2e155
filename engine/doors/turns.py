"""Turns of an event loop, given out one by one to those who have much to do."""

import asyncio

# Bytes that may be looked at in a turn without asking for it: parsing and admission take time by the byte.
HEAVY = 1 << 20
# Images that are taken in one turn; each costs tens of microseconds however small it is.
IMAGES = 64


class Turns:
    """Belongs to one event loop. Who awaits `next` before each portion of work shares the loop with others:
    at most one such portion is done in a turn, in the order of asking, and in between all else is served.
    """

    def __init__(self) -> None:
        self._line = asyncio.Lock()

    async def next(self) -> None:
        async with self._line:
            await asyncio.sleep(0)
