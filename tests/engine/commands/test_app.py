"""The command as a person runs it: a process, its output, its exit code, and no traceback."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from support.bundles import plain_bundle
from support.images import evil, good

SCHEMA = json.loads((files("assay.engine") / "outcome.schema.json").read_text("utf-8"))
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def assay(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`assay ARGUMENTS...` in an empty folder."""
    folder = tmp_path_factory.mktemp("cwd")
    command = Path(sys.executable).with_name("assay")

    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        words = [str(argument) for argument in arguments]
        return subprocess.run(
            [command, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )

    return run


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as users have them: nested, odd names, good and bad."""
    folder = tmp_path_factory.mktemp("uploads")
    (folder / "a b" / "ünïcode").mkdir(parents=True)
    samples = [one.data for one in good().values() if min(one.pixels.shape[:2]) >= 8][:12]
    for number, data in enumerate(samples):
        (folder / ("a b" if number % 2 else "a b/ünïcode") / f"{number}.bin").write_bytes(data)
    for number, sample in enumerate(evil().values()):
        (folder / f"{number} evil.jpg").write_bytes(sample.data)
    (folder / "huge.jpg").write_bytes(samples[0] + bytes(30_000_000))
    (folder / "link.jpg").symlink_to(folder / "a b" / "1.bin")
    (folder / "dangling.jpg").symlink_to(folder / "nowhere")
    return folder


def regular_files(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if path.is_file()}


def test_json_is_one_lawful_line_for_each_file(assay: Run, bundle: Path, uploads: Path) -> None:
    done = assay("scan", uploads, "--bundle", bundle, "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(row["path"] for row in rows) == sorted(regular_files(uploads))
    for row in rows:
        path = row.pop("path")
        jsonschema.validate(row, SCHEMA)
        assert row["id"] == path
        if path.endswith("evil.jpg"):
            assert "rejected" in row, path
    assert sum("label" in row for row in rows) == 13
    huge = next(row for row in rows if row["id"].endswith("huge.jpg"))
    assert huge["rejected"] == "too_many_bytes"
    assert f"{len(rows)} files" in done.stderr
    assert "Traceback" not in done.stderr


def test_text_and_csv_tell_the_same(assay: Run, bundle: Path, uploads: Path, tmp_path: Path) -> None:
    table = tmp_path / "out.csv"
    text = assay("scan", uploads, "--bundle", bundle)
    done = assay("scan", uploads, "--bundle", bundle, "--csv", table, "--workers", 0)
    assert (text.returncode, done.returncode) == (0, 0)
    assert done.stdout == ""
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(text.stdout.splitlines()) == len(regular_files(uploads))
    for row, line in zip(rows, text.stdout.splitlines(), strict=True):
        assert line.startswith(row["label"] or row["rejected"])
        assert row["path"] in line


def test_several_paths_in_the_order_given(assay: Run, bundle: Path, uploads: Path) -> None:
    paths = [uploads / "a b" / "3.bin", uploads / "a b" / "1.bin"]
    done = assay("scan", *paths, "--bundle", bundle, "--json")
    assert [json.loads(line)["path"] for line in done.stdout.splitlines()] == [str(path) for path in paths]


def test_an_empty_folder_is_no_error(assay: Run, bundle: Path, tmp_path: Path) -> None:
    done = assay("scan", tmp_path, "--bundle", bundle)
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing to score" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["scan", "nowhere"], "nowhere does not exist"),
        (["scan", "/dev/null"], "/dev/null is neither a file nor a folder"),
        (["scan", ".", "--bundle", "nobody"], "no such folder"),
        (["scan", ".", "--json", "--csv", "x.csv"], "exclude each other"),
        (["scan", ".", "--csv", "no/such/folder.csv"], "cannot be written"),
        (["scan", ".", "--frobnicate"], "No such option"),
        (["scan"], "Missing argument"),
        (["scan", ".", "--workers", "-1"], "workers"),
        (["scan", ".", "--config", "none.toml"], "none.toml cannot be read"),
        (["frobnicate"], "No such command"),
        (["serve"], "nothing to serve"),
        (["serve", "--grpc", "127.0.0.1:0", "--in", "t"], "--kafka"),
        (["serve", "--grpc", "nonsense"], "nonsense"),
        (["serve", "--kafka", "127.0.0.1:1", "--in", "a"], "output"),
    ],
)
def test_a_usage_error_is_one_sentence(assay: Run, bundle: Path, arguments: list[str], says: str) -> None:
    if "--bundle" not in arguments and len(arguments) > 1:
        arguments = [*arguments, "--bundle", str(bundle)]
    done = assay(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "classify.onnx").write_bytes(b"x"), "SHA-256 differs"),
        (lambda folder: (folder / "classify.onnx").unlink(), "which is not there"),
        (lambda folder: (folder / "manifest.json").write_text('{"schema": 99}'), "newer"),
        (lambda folder: (folder / "manifest.json").unlink(), "has no manifest.json"),
    ],
)
def test_a_broken_bundle_is_one_sentence(
    assay: Run, uploads: Path, tmp_path: Path, damage: Callable[[Path], object], says: str
) -> None:
    folder = plain_bundle(tmp_path / "bundle")
    damage(folder)
    done = assay("scan", uploads, "--bundle", folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_settings_come_from_options_then_environment_then_file(
    assay: Run, bundle: Path, uploads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "assay.toml"
    config.write_text("workers = 0\n[limits]\nmax_pixels = 10\n[grpc]\naddress = '127.0.0.1:0'\n")
    picture = uploads / "a b" / "1.bin"

    def outcome() -> dict[str, object]:
        done = assay("scan", picture, "--bundle", bundle, "--json", "--config", config)
        assert done.returncode == 0, done.stderr
        row: dict[str, object] = json.loads(done.stdout)
        return row

    assert outcome()["rejected"] == "too_many_pixels"
    monkeypatch.setenv("ASSAY_LIMITS__MAX_PIXELS", "1000000")
    assert "label" in outcome()


def test_a_wrong_setting_is_named(assay: Run, bundle: Path, tmp_path: Path) -> None:
    config = tmp_path / "assay.toml"
    config.write_text("wrokers = 2\n")
    done = assay("scan", tmp_path, "--bundle", bundle, "--config", config)
    assert done.returncode == 2
    assert "wrokers" in done.stderr


@pytest.mark.parametrize(
    ("program", "spared"),
    [
        ("import assay.engine.client", {"scipy", "openvino", "numpy", "PIL", "pydantic", "typer"}),
        (
            "from assay.engine.commands.app import app; app(['--help'], standalone_mode=False)",
            {"scipy", "openvino", "numpy", "PIL", "pydantic", "grpc", "kafka"},
        ),
        ("import assay.engine.commands.scan", {"scipy", "openvino", "torch", "grpc", "kafka"}),
        ("import assay.engine.worker.__main__", {"scipy", "torch", "grpc", "kafka"}),
    ],
)
def test_what_starts_loads_only_what_it_needs(program: str, spared: set[str]) -> None:
    code = f"import sys; {program}; print(sorted({spared} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_follows_two_dashes_is_a_path(assay: Run, bundle: Path, tmp_path: Path) -> None:
    done = assay("scan", "--bundle", bundle, "--workers", "0", "--", "--json")
    assert done.returncode == 2
    assert "--json does not exist" in done.stderr


def test_version_names_what_matters_and_loads_nothing_for_it() -> None:
    command = (
        "import sys\n"
        "from assay.engine.commands.app import main\n"
        "try: main(['--version'])\n"
        "finally: print({'openvino', 'torch', 'cupy', 'grpc', 'kafka'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    *lines, loaded = done.stdout.splitlines()
    assert loaded == "set()"
    shown = dict(line.rsplit(maxsplit=1) for line in lines)
    assert shown.keys() >= {"assay", "python", "bundle schema", "openvino", "numpy", "grpc", "kafka"}
    assert shown["assay"] == version("assay")
    assert shown["openvino"] == version("openvino")


def test_a_variable_that_is_no_setting_is_named(
    assay: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_WROKERS", "4")
    monkeypatch.setenv("ASSAY_KAFKA_PASSWORD", "hunter2")
    done = assay("scan", tmp_path, "--bundle", bundle, "--workers", 0)
    assert done.returncode == 0
    warning, summary = done.stderr.splitlines()
    assert "ASSAY_WROKERS" in warning
    assert "ASSAY_WORKERS" in warning
    assert "nothing to score" in summary


def test_bundles_lists_what_can_be_named(assay: Run) -> None:
    rows = [json.loads(line) for line in assay("bundles", "--json").stdout.splitlines()]
    assert all(row.keys() == {"name", "version", "kind", "path"} for row in rows)
    assert [row["name"] for row in rows] == [Path(row["path"]).name for row in rows]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["assay", "sc"], {"scan"}),
        (["assay", "scan", "--"], {"--bundle", "--json", "--executor", "--help"}),
        (
            ["assay", "scan", "--executor", ""],
            {"auto", "openvino", "tensorrt", "torch", "onnxruntime", "torch_export"},
        ),
        (["assay", "serve", "--"], {"--grpc", "--kafka", "--in"}),
        (["assay", "train", ""], {"plain", "apn"}),
        (["assay", "train", "apn", "--"], {"--data", "--proposals"}),
    ],
    ids=" ".join,
)
def test_a_shell_completes_commands_and_their_options(
    assay: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], offered: set[str]
) -> None:
    monkeypatch.setenv("_ASSAY_COMPLETE", "complete_bash")  # as the script of `assay --show-completion`
    monkeypatch.setenv("COMP_WORDS", " ".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    done = assay()
    assert done.stderr == ""
    assert offered <= set(done.stdout.split())
