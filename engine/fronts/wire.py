"""Items, outcomes, bundles, errors and settings as JSON between a front and the engine's process."""

import json
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr

from assay.engine import telemetry
from assay.engine.admission import Header
from assay.engine.bundle import Bundle, Manifest
from assay.engine.errors import AssayError, BundleError, EngineFault, SetupError
from assay.engine.fronts.ring import Place
from assay.engine.item import Item, Priority
from assay.engine.outcome import Outcome, from_dict

if TYPE_CHECKING:
    from assay.engine.telemetry.spans import ImageTrace

Entry = list[Any]
"""An item: number, offset, length, position behind it, id, bundle, deadline, priority, whether it is drawn,
header, its trace, whether it may wait for room."""

ERRORS: Mapping[str, type[AssayError]] = {
    each.__name__: each for each in (BundleError, SetupError, EngineFault)
}
_header = attrgetter(*(each.name for each in fields(Header)))


def entry_of(number: int, place: Place, item: Item, header: Header, waits: bool) -> Entry:
    about = (item.id, item.bundle, item.deadline, int(item.priority), item.drawn)
    trace = None if item.trace is None else item.trace.said()
    return [number, *place, *about, _header(header), trace, waits]


def item_of(entry: Entry, data: bytes) -> Item:
    id, bundle, deadline, priority, drawn, header, trace = entry[4:11]
    own = telemetry.remote(trace) if trace else None
    return Item(id, data, bundle, deadline, Priority(priority), drawn, own, Header(*header))


def answer_of(number: int, trace: "ImageTrace | None", future: Future[Outcome]) -> list[Any]:
    """The outcome of a future that is done and was not cancelled, with its batch for the trace; or what it
    raises."""
    try:
        outcome = future.result()
    except BaseException as error:
        return [number, None, error_of(error)]
    batch = getattr(trace, "batch", None)
    return [number, outcome.to_dict(), batch] if batch else [number, outcome.to_dict()]


def answer(future: Future[Outcome], trace: "ImageTrace | None", said: list[Any]) -> None:
    """Gives `future` what `answer_of` made."""
    if not future.set_running_or_notify_cancel():
        return
    if said[1] is None:
        future.set_exception(to_error(said[2]))
        return
    if trace is not None and len(said) > 2:
        trace.scored_there(said[2])
    future.set_result(from_dict(said[1]))


def error_of(error: BaseException) -> list[str]:
    known = type(error).__name__ in ERRORS
    return [type(error).__name__ if known else "", str(error) if known else f"a defect of Assay: {error!r}"]


def to_error(said: list[str]) -> AssayError:
    kind, words = said
    return ERRORS.get(kind, SetupError)(words)


def bundle_of(bundle: Bundle) -> list[Any]:
    return [str(bundle.path), bundle.manifest.model_dump(mode="json", by_alias=True)]


def to_bundle(said: list[Any]) -> Bundle:
    """A bundle as its manifest describes it; the engine's process has checked its files."""
    return Bundle(Path(said[0]), Manifest.model_validate(said[1]))


def plain(settings: BaseModel) -> Any:
    """What makes the same settings again, passwords included: it goes to a process of our own alone."""
    return json.loads(json.dumps(settings.model_dump(), default=_plain))


def _plain(value: object) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
