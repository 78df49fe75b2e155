"""What an operator's changes do to what is served, with a core that only notes it."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support.bundles import plain_bundle

from assay.engine.bundle import DEFAULT, Bundle
from assay.engine.control import Bundles, Control
from assay.engine.errors import BundleError, EngineFault, SetupError


class Noting:
    """Serves what it is told, unless it is told to refuse."""

    def __init__(self) -> None:
        self.bundles: dict[str, Bundle] = {}
        self.refuses: Exception | None = None
        self.swaps = 0

    def swap(self, bundles: Sequence[Bundle]) -> None:
        if self.refuses:
            raise self.refuses
        for bundle in [*self.bundles.values(), *bundles]:
            assert Bundle.load(bundle.path) == bundle  # also a worker that is replaced now finds it
        self.swaps += 1
        self.bundles = {bundle.name: bundle for bundle in bundles}

    @property
    def served(self) -> list[tuple[str, str]]:
        return [(name, bundle.version) for name, bundle in self.bundles.items()]


class Desk:
    """A control over bundles `a`, outside of the repository, and the default; `b` is in the repository."""

    def __init__(self, folder: Path, bundles: Bundles, calls: bool = True) -> None:
        self.outside = plain_bundle(folder / "outside" / "a", name="a")
        self.repository = folder / "repository"
        plain_bundle(self.repository / "b", name="b")
        self.core = Noting()
        self.refused: list[str] = []
        sources = [bundles.open(str(self.outside)), bundles.open(DEFAULT)]
        self.core.bundles = {source.bundle.name: source.bundle for source in sources}
        repository = self.repository if calls else None
        self.control = Control(self.core, bundles, sources, repository)  # type: ignore[arg-type]

    @property
    def copies(self) -> list[str]:
        folder = Path(self.core.bundles["a"].path).parent
        return sorted(path.name for path in folder.iterdir() if path.is_dir())


@pytest.fixture
def refused() -> list[Path]:
    return []


@pytest.fixture
def bundles(refused: list[Path]) -> Iterator[Bundles]:
    def verify(folder: Path) -> None:
        if (folder / "evil").exists():
            refused.append(folder)
            raise BundleError(f"bundle {folder} is evil")

    with Bundles(verify) as opened:
        yield opened


@pytest.fixture
def desk(tmp_path: Path, bundles: Bundles) -> Desk:
    return Desk(tmp_path, bundles)


def test_a_load_adds_or_replaces_in_place(desk: Desk) -> None:
    core, control = desk.core, desk.control
    default = core.served[1]
    control.load("b").result(60)
    assert core.served == [("a", "1.0.0"), default, ("b", "1.0.0")]
    plain_bundle(desk.outside, name="a", version="2")
    control.load("a").result(60)
    assert core.served == [("a", "2"), default, ("b", "1.0.0")]
    plain_bundle(desk.repository / "a", name="a", version="3")  # it goes before where `a` came from
    control.load("a").result(60)
    assert core.served[0] == ("a", "3")
    assert control.index() == {}
    control.unload("a").result(60)
    control.unload("b").result(60)
    assert control.index() == {"a": "not loaded", "b": "not loaded"}
    with pytest.raises(SetupError, match="alone is served"):
        control.unload(DEFAULT).result(60)
    with pytest.raises(SetupError, match="'b' is not served here"):
        control.unload("b").result(60)


def test_what_is_served_is_a_copy_for_as_long_as_it_is_needed(desk: Desk) -> None:
    core, control = desk.core, desk.control
    assert desk.copies == ["a-1"]
    for version in ("2", "3", "4"):
        plain_bundle(desk.outside, name="a", version=version)
        control.load("a").result(60)
        assert len(desk.copies) == 2  # the last one may still answer what was taken
    shutil.rmtree(desk.outside)
    Bundle.load(core.bundles["a"].path)
    assert core.bundles[DEFAULT].ships


@pytest.mark.parametrize(
    "cause", [kind("no") for kind in (SetupError, BundleError, EngineFault, RuntimeError)]
)
def test_a_change_that_fails_changes_nothing_and_leaves_no_copy(desk: Desk, cause: Exception) -> None:
    before = desk.core.served
    desk.core.refuses = cause
    for change in (lambda: desk.control.load("b"), lambda: desk.control.unload("a")):
        with pytest.raises((SetupError, BundleError, EngineFault), match="no"):
            change().result(60)
    plain_bundle(desk.outside, name="a", version="2")
    with pytest.raises((SetupError, BundleError, EngineFault), match="no"):
        desk.control.reload().result(60)
    assert desk.core.served == before
    assert desk.copies == ["a-1"]
    desk.core.refuses = None
    desk.control.reload().result(60)
    assert desk.core.served[0] == ("a", "2")


def test_a_reload_takes_all_that_changed_or_nothing(desk: Desk, refused: list[Path]) -> None:
    core, control = desk.core, desk.control
    control.reload().result(60)
    assert core.swaps == 0
    control.load("b").result(60)
    plain_bundle(desk.outside, name="renamed", version="2")
    plain_bundle(desk.repository / "b", name="b", version="2")
    (desk.repository / "b" / "evil").touch()
    with pytest.raises(BundleError, match=f"bundle {desk.repository / 'b'} is evil"):
        control.reload().result(60)
    assert [name for name, _ in core.served] == ["a", DEFAULT, "b"]
    assert desk.copies == ["a-1", "b-2"]
    assert refused[0].parent == core.bundles["a"].path.parent  # the copy is judged, which is what is served
    (desk.repository / "b" / "evil").unlink()
    control.reload().result(60)
    assert [name for name, _ in core.served] == ["renamed", DEFAULT, "b"]
    assert core.bundles["b"].version == "2"
    shutil.rmtree(desk.outside)
    with pytest.raises(BundleError, match="there is no such folder"):
        control.reload().result(60)


@pytest.mark.parametrize(
    "name", ["nobody", "", ".", "..", "../outside/a", "/etc", "b/", "a\0", "b\n", "x" * 10_000]
)
def test_names_lead_nowhere_but_into_the_repository(desk: Desk, name: str) -> None:
    before = desk.core.served
    with pytest.raises(BundleError, match="there is no bundle") as raised:
        desk.control.load(name).result(60)
    assert len(str(raised.value)) < 500
    assert desk.core.served == before


def test_without_a_repository_there_is_nothing_to_load(tmp_path: Path, bundles: Bundles) -> None:
    control = Desk(tmp_path, bundles, calls=False).control
    assert control.repository is None
    assert control.index() == {}
