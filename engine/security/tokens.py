"""Bearer tokens of a file, kept as hashes, each with a rate of its own.

A line is `NAME TOKEN [RATE]` or `NAME sha256:HEX [RATE]`; empty lines do not count,
nor those that begin with #.
Neither a token nor its hash is ever in a message: lines are named by their number.
"""

import hashlib
import hmac
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from assay.engine.errors import SetupError
from assay.engine.security.watched import Watched, read_file

LEAST = 16
"""Fewest characters of a token."""
SLACK = 1e-6
"""Seconds too early that are none: sums of floats."""
SCHEME = "bearer "


class Denied(Exception):
    """There is no such token."""


class Throttled(Exception):
    """The token is over its rate until `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"over the rate of this token; try again in {seconds:.3f} s")
        self.seconds = seconds


@dataclass(frozen=True)
class Token:
    """rate: calls a second; infinite where the file has none."""

    name: str
    digest: bytes
    rate: float


class Tokens:
    """The tokens of `file`, read again when it changes. Thread-safe. Raises SetupError about the file."""

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._known = Watched([file], lambda: parse_tokens(file))
        self._clock = clock
        self._lock = Lock()
        self._free_at: dict[str, float] = {}

    def find(self, authorization: str | None) -> Token:
        """The token of an `Authorization` header; all are compared, in constant time. Raises Denied."""
        text = authorization or ""
        given = text[len(SCHEME) :].strip() if text.lower().startswith(SCHEME) else ""
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        found = None
        for token in self._known.get():
            if hmac.compare_digest(token.digest, digest):
                found = token
        if found is None or not given:
            raise Denied
        return found

    def spend(self, token: Token) -> None:
        """Counts one call. Raises Throttled where there is none left; a second's worth may come at once."""
        if wait := self._take(token, refuse=True):
            raise Throttled(wait)

    def reserve(self, token: Token) -> float:
        """Counts one message of a stream -> seconds to wait before it is taken, at the rate that the file has
        now. Raises Denied where the token has left it."""
        for known in self._known.get():
            if known.digest == token.digest:
                return self._take(known, refuse=False)
        raise Denied

    def _take(self, token: Token, refuse: bool) -> float:
        """A bucket as the time at which it is full again (generic cell rate algorithm)."""
        if math.isinf(token.rate):
            return 0.0
        with self._lock:
            now = self._clock()
            full = max(self._free_at.get(token.name, now), now)
            wait = max(0.0, full + 1 / token.rate - now - max(1.0, 1 / token.rate))
            wait = wait if wait > SLACK else 0.0
            if not (wait and refuse):
                self._free_at[token.name] = full + 1 / token.rate
            return wait


def parse_tokens(file: Path) -> tuple[Token, ...]:
    """The tokens of `file`. Raises SetupError naming a line, never what is in it."""
    try:
        lines = read_file(file).decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise SetupError(f"{file} is not UTF-8 text") from None
    found: dict[str, Token] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{file}, line {number}"
        if len(words) not in (2, 3):
            raise SetupError(f"{where}: a line is NAME TOKEN [RATE]")
        if words[0] in found:
            raise SetupError(f"{where}: the name is there already")
        rate = _rate(words[2], where) if len(words) == 3 else math.inf
        found[words[0]] = Token(words[0], _digest(words[1], where), rate)
    if not found:
        raise SetupError(f"{file} has no token, so nobody would be let in")
    return tuple(found.values())


def _digest(text: str, where: str) -> bytes:
    if text.startswith("sha256:"):
        try:
            digest = bytes.fromhex(text.removeprefix("sha256:"))
        except ValueError:
            digest = b""
        if len(digest) != 32:
            raise SetupError(f"{where}: sha256: is followed by 64 hexadecimal digits")
        return digest
    if len(text) < LEAST:
        raise SetupError(f"{where}: a token has {LEAST} characters or more")
    return hashlib.sha256(text.encode()).digest()


def _rate(text: str, where: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not (rate > 0 and math.isfinite(rate)):
        raise SetupError(f"{where}: a rate is a number of calls a second above 0")
    return rate
