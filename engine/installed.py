"""Which optional libraries are there, and what is chosen by that."""

from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True, slots=True)
class Choice:
    """What is used, by its name in the settings, and why, in words."""

    name: str
    why: str


def installed(module: str) -> bool:
    """Whether a module can be imported; it is not."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of what it stands in
        return False
