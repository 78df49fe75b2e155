"""The Parquet table: every outcome comes back as it went in, whatever its names are."""

import json
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bundles import plain_bundle
from support.command import assay, exit_code
from support.images import evil, good

from assay.engine.errors import SetupError
from assay.engine.outcome import Doubt, Label, Outcome, Reason, Rejection, Verdict
from assay.engine.report import lines, parquet

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.dictionaries(words, st.floats(allow_nan=False), max_size=3)
verdicts = st.builds(
    Verdict, words, st.sampled_from(Label), st.floats(0, 1), numbers, words, words,
    st.dictionaries(words, st.lists(st.integers())), numbers, st.lists(st.sampled_from(Doubt)).map(tuple),
)  # fmt: skip
rejections = st.builds(
    Rejection, words, st.sampled_from(Reason), words, st.dictionaries(words, st.integers())
)


def rows(file: Path) -> list[dict[str, object]]:
    return pyarrow.parquet.read_table(file).to_pylist()


def expected(path: str, outcome: Outcome) -> dict[str, object]:
    record: dict[str, object] = dict.fromkeys(
        ("path", "id", "label", "probability", "scores", "bundle", "version", "evidence", "seconds",
         "doubts", "rejected", "detail", "about")
    )  # fmt: skip
    record.update({"path": path, **outcome.to_dict()})
    return record


def read_back(row: dict[str, object]) -> dict[str, object]:
    got = dict(row)
    for name in ("scores", "seconds"):
        if got[name] is not None:
            got[name] = dict(got[name])  # type: ignore[call-overload]
    for name in ("evidence", "about"):
        if got[name] is not None:
            got[name] = json.loads(str(got[name]))
    return got


@given(st.lists(verdicts | rejections, max_size=12), st.integers(1, 5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_every_outcome_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcomes: list[Outcome], group: int
) -> None:
    monkeypatch.setattr(parquet, "ROWS", group)
    file = tmp_path / "out.parquet"
    with lines.writer(False, None, None, file) as write:
        for number, outcome in enumerate(outcomes):
            write(Path(f"{number}.jpg"), outcome)
    want = [expected(f"{number}.jpg", outcome) for number, outcome in enumerate(outcomes)]
    assert [read_back(row) for row in rows(file)] == want


def test_a_name_that_is_no_unicode_is_spelt_out(tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    with parquet.parquet_table(file) as write:
        write(Path(name), Rejection(name, Reason.EMPTY, f"{name} is empty"))
    (row,) = rows(file)
    assert (row["path"], row["id"], row["detail"]) == (
        r"caf\xe9.jpg",
        r"caf\xe9.jpg",
        r"caf\xe9.jpg is empty",
    )


def test_scan_writes_a_row_for_each_file_and_not_its_own(tmp_path: Path) -> None:
    bundle = plain_bundle(tmp_path / "bundle")
    folder = tmp_path / "images"
    folder.mkdir()
    for number, data in enumerate([next(iter(good().values())).data, next(iter(evil().values())).data]):
        (folder / f"{number}.jpg").write_bytes(data)
    file = folder / "out.parquet"
    assay("scan", folder, "--bundle", bundle, "--workers", 0, "--parquet", file)
    assert sorted(str(row["path"]) for row in rows(file)) == [str(folder / "0.jpg"), str(folder / "1.jpg")]


def test_without_pyarrow_it_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert exit_code("scan", tmp_path, "--parquet", tmp_path / "a.parquet") == 2
    assert capfd.readouterr().err == (
        "assay: --parquet needs pyarrow, which is not installed: pip install 'assay[parquet]'\n"
    )
    assert not (tmp_path / "a.parquet").exists()


@pytest.mark.parametrize("file", ["no/such/folder.parquet", "/dev/full"])
def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path, file: str) -> None:
    with (
        pytest.raises(SetupError, match="cannot be written: No"),
        parquet.parquet_table(tmp_path / file) as write,
    ):
        write(Path("a"), Rejection("a", Reason.EMPTY, "nothing"))
