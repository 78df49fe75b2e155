"""Bundles as models of the protocol: names, versions, tensors."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from assay.engine.bundle import Bundle
from assay.engine.core.refusals import SHOWN, not_served
from assay.engine.errors import SetupError
from assay.engine.wire.pieces import InvalidMessage

SERVER = "assay"
PLATFORM = "assay"
EXTENSIONS = ("model_configuration", "model_repository", "statistics", "parameters", "schedule_policy")
"""Those that both transports have."""

Datatype = Literal["BYTES", "FP32"]

IMAGE = "image"
SCORE = "score_"

MOST_IMAGES = 1024
"""Images of a request; `max_batch_size` of a model's configuration."""
PRIORITIES = 2
"""Levels of the parameter `priority`: 1 is interactive, 2 waits behind it with the backlog."""


@dataclass(frozen=True, slots=True)
class Output:
    """An output of a model, one element an image."""

    name: str
    datatype: Datatype


def outputs_of(bundle: Bundle) -> tuple[Output, ...]:
    """What a request that asks for nothing in particular gets, in this order."""
    return (
        Output("probability", "FP32"),
        Output("label", "BYTES"),
        Output(f"{SCORE}{bundle.kind}", "FP32"),
        Output("rejected", "BYTES"),
        Output("detail", "BYTES"),
        Output("doubts", "BYTES"),
    )


def find_model(bundles: Mapping[str, Bundle], name: str, version: str = "") -> Bundle:
    """The bundle that a model's name and version mean. Of a version its first number will do, and none means
    the one that is served.

    Raises SetupError where it is not served.
    """
    if name not in bundles:
        raise not_served(name, bundles)
    bundle = bundles[name]
    if version not in ("", bundle.version, number_of(bundle)):
        raise SetupError(
            f"bundle {name!r} is served in version {bundle.version} only; leave the version out, or name it"
        )
    return bundle


def number_of(bundle: Bundle) -> str:
    """The first number of a bundle's version, for clients whose versions are whole numbers."""
    number = re.search(r"\d+", bundle.version, re.ASCII)
    return str(int(number[0])) if number else "1"


def chosen_outputs(bundle: Bundle, names: Iterable[str]) -> tuple[Output, ...]:
    """The outputs that a request names, in its order; all where it names none.

    Raises InvalidMessage for one that the model does not have.
    """
    known = {output.name: output for output in outputs_of(bundle)}
    named = list(names)
    for name in named:
        if name not in known:
            raise InvalidMessage(
                f"bundle {bundle.name!r} has no output {name[:SHOWN]!r}; it has {', '.join(known)}"
            )
    return tuple(known[name] for name in named) or tuple(known.values())
