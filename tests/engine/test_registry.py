"""The tables of what settings can name: every entry is there, and one that lacks a package says so."""

from pathlib import Path

import pytest

from assay.engine.doors.door import DoorKind
from assay.engine.errors import SetupError
from assay.engine.registry import DECODERS, DOORS, EXECUTORS, named
from assay.engine.settings import Settings


@pytest.mark.parametrize("name", DOORS)
def test_a_door_has_settings_of_its_own_and_options_for_them(name: str) -> None:
    kind: DoorKind = named(DOORS, name, "door")
    assert kind.prefix == f"ASSAY_{name.upper()}_"
    assert kind.options.keys() <= kind.settings.model_fields.keys()
    assert kind.settings.model_fields[kind.opening].is_required()


def test_options_of_doors_are_different() -> None:
    flags = [flag for name in DOORS for flag, _ in named(DOORS, name, "door").options.values()]
    assert len(set(flags)) == len(flags)


@pytest.mark.parametrize("table", [EXECUTORS, DECODERS], ids=["executors", "decoders"])
def test_what_a_setting_names_can_be_loaded(table: dict[str, str]) -> None:
    field = "executor" if table is EXECUTORS else "decoder"
    for name in table:
        assert getattr(Settings(**{field: name}), field) == name  # type: ignore[arg-type]
        assert callable(named(table, name, field))


def test_a_missing_package_is_one_sentence_and_a_missing_module_of_ours_a_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needy.py").write_text("import no_such_package")
    (tmp_path / "broken.py").write_text("import assay.engine.no_such_module")
    monkeypatch.syspath_prepend(tmp_path)
    table = {"needy": "needy:runtime", "broken": "broken:runtime"}
    sentence = (
        "the executor 'needy' needs no_such_package, which is not installed: pip install no_such_package"
    )
    with pytest.raises(SetupError, match=f"^{sentence}$"):
        named(table, "needy", "executor")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        named(table, "broken", "executor")
