"""Parts of a data set by name: some of its generators, some of its scenes."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import AfterValidator

from assay.engine.errors import SetupError

if TYPE_CHECKING:
    from assay.trainers.data.samples import Sample

ASKED = ("generator", "scene")
HELP = (
    "Take a part of the data set alone, and may be repeated. generator=NAME: synthetic images of this "
    "generator, and the photographs beside them. scene=NAME: what lies in a folder of this name."
)


def checked(text: str) -> str:
    what, equals, name = text.partition("=")
    if what not in ASKED or not (equals and name):
        raise ValueError(f"{text!r} is neither generator=NAME nor scene=NAME")
    return text


Only: TypeAlias = Annotated[str, AfterValidator(checked)]
"""`generator=NAME` or `scene=NAME`."""


def only(samples: "Sequence[Sample]", root: Path, asked: Sequence[str]) -> "list[Sample]":
    """What is asked for of `samples`, read from `root`; all where nothing is.

    Of several scenes, or of several generators, each is taken; of both, the generators in the scenes. With
    generators come the photographs of their pools, or all where their pools have none. Raises SetupError
    where a request is none, or names what is not there.
    """
    try:
        pairs = [checked(text).split("=", 1) for text in asked]
    except ValueError as error:
        raise SetupError(f"--only: {error}") from None
    scenes, generators = ({name for what, name in pairs if what == one} for one in ("scene", "generator"))
    kept = list(samples)
    if scenes:
        _find(scenes, set().union(*(_scenes(one, root) for one in kept)), "scene", root)
        kept = [one for one in kept if scenes & _scenes(one, root)]
    if generators:
        _find(generators, {one.group for one in kept if one.label}, "generator", root)
        pools = {one.pool for one in kept if one.label and one.group in generators}
        beside = pools & {one.pool for one in kept if not one.label}
        kept = [
            one
            for one in kept
            if (one.group in generators if one.label else not beside or one.pool in beside)
        ]
    return kept


def _scenes(sample: "Sample", root: Path) -> set[str]:
    """The names of the folders that a file lies in, and its pool."""
    folders = sample.path.relative_to(root).parts[:-1] if sample.path.is_relative_to(root) else ()
    return {*folders, sample.pool, sample.pool.rpartition("/")[2]}


def _find(wanted: Collection[str], there: Collection[str], what: str, root: Path) -> None:
    if missing := sorted(set(wanted) - set(there)):
        names = sorted(name for name in there if name)
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        raise SetupError(
            f"{root} has no {what} {', '.join(missing)}; there are {', '.join(names[:20])}{more}"
        )
