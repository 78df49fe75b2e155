"""Wrong settings are one sentence that names them, from wherever they come; right ones mean what they say."""

import contextlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.engine import server
from assay.engine.commands import app as cli
from assay.engine.commands import scan, serve
from assay.engine.config import Config, environment, load, read_config, unknown_variables
from assay.engine.core import Core
from assay.engine.doors.grpc import GrpcSettings
from assay.engine.doors.kafka import KafkaSettings
from assay.engine.engine import Engine
from assay.engine.errors import SetupError
from assay.engine.server import ServeSettings
from assay.engine.settings import Settings

KAFKA = {"input": "i", "output": "o", "rejects": "r", "group": "g"}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("ASSAY_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str | bytes], Config]:
    def write(text: str | bytes) -> Config:
        file = tmp_path / "assay.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_config(file)

    return write


def refused(config: Config | None = None, **given: Any) -> str:
    with pytest.raises(SetupError) as error:
        load(Settings, config, **given)
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("text", "devices"),
    [("0,1", (0, 1)), ("3", (3,)), (" 0 , 2 ", (0, 2)), ("[0, 1]", (0, 1)), ("[]", ())],
)
def test_devices_as_people_write_them(
    monkeypatch: pytest.MonkeyPatch, text: str, devices: tuple[int, ...]
) -> None:
    assert load(Settings, devices=text).devices == devices
    monkeypatch.setenv("ASSAY_DEVICES", text)
    assert load(Settings).devices == Settings().devices == devices


@pytest.mark.parametrize(
    "text",
    ["", " ", "gpu", "0,", "0,,1", "1.5", "0;1", "-1", "0,0", "[true]", "[[0]]", "1e3", "99999", "\udcff"],
)
def test_devices_that_are_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ASSAY_DEVICES", text)
    assert "'devices" in refused()
    assert "ASSAY_DEVICES" in refused()
    with pytest.raises(SetupError, match="ASSAY_DEVICES"):
        Engine()


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("LIMITS", "foo"),
        ("LIMITS", "max_bytes=5"),
        ("LIMITS", "[1]"),
        ("LIMITS", '{"max_bytes": "many"}'),
        ("LIMITS", '{"max_bites": 5}'),
        ("LIMITS__MAX_BYTES", "0"),
        ("LIMITS__MAX_PIXELS", "1e99"),
        *[
            ("WORKER_TIMEOUT", text)
            for text in ("inf", "-inf", "nan", "0", "-1", "1e9", "", "true", "\udcff")
        ],
        *[("START_TIMEOUT", text) for text in ("inf", "nan", "1e400")],
        *[("WORKERS", text) for text in ("-1", "1.5", "1000000", "", "four", "9" * 5000)],
        ("MEMORY", "0"),
        ("MEMORY", "1e30"),
        ("EXECUTOR", "onnx"),
        ("ALLOW_UNMEASURED", "perhaps"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, text: str) -> None:
    monkeypatch.setenv("ASSAY_" + variable, text)
    sentence = refused()
    assert f"ASSAY_{variable})" in sentence
    assert variable.partition("__")[0].lower() in sentence
    assert len(sentence) < 300


def test_a_table_as_json_and_field_by_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_LIMITS", '{"max_bytes": 5, "max_scans": 7}')
    monkeypatch.setenv("ASSAY_LIMITS__MAX_SCANS", "8")
    assert (load(Settings).limits.max_bytes, load(Settings).limits.max_scans) == (5, 8)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("wrokers = 2", "'workers'"),
        ("[kafak]\nbrokers = 'b:1'", "'kafka'"),
        ("[limits]\nmax_byts = 1", "'limits.max_bytes'"),
        ("limits = 5", "table"),
        ("[[limits]]\nmax_bytes = 1", "table"),
        ("[workers]\nx = 1", "'workers'"),
        ("workers = [1]", "'workers'"),
        ("workers = true", "'true'"),
        ("workers = 1979-05-27", "'workers'"),
        (f"workers = 1{'0' * 100}", "1024"),
        ("worker_timeout = inf", "finite"),
        ("start_timeout = nan", "finite"),
        ("devices = 0", "list"),
        ("devices = [true]", "'true'"),
        ("devices = [0.5]", "'devices.0'"),
        ("precision = 8", "'precision'"),
        ("[limits]\nmax_pixels = true", "'limits.max_pixels'"),
    ],
)
def test_a_wrong_line_of_the_file_is_named(
    written: Callable[[str | bytes], Config], tmp_path: Path, text: str, says: str
) -> None:
    sentence = refused(written(text))
    assert says in sentence
    assert str(tmp_path / "assay.toml") in sentence


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("workers = 1\nworkers = 2", "overwrite"),
        ("workers =", "Invalid value"),
        (b"\xff\xfew\x00", "not UTF-8"),
        ("a = " + "[" * 5000, "recursion"),
        ("workers = " + "1" * 5000, "digits"),
        ("grpc = '127.0.0.1:0'", "[grpc]"),
        ("[[kafka]]\nbrokers = 'b:1'", "[kafka]"),
        ("serve = 5", "[serve]"),
        ("http = true", "[http]"),
        (b"#" * (1 << 21), "larger"),
    ],
)
def test_a_file_that_holds_no_settings(
    written: Callable[[str | bytes], Config], text: str | bytes, says: str
) -> None:
    with pytest.raises(SetupError) as error:
        written(text)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", [".", "none.toml", "/dev/zero", "x" * 300, "a/b\udcff"])
def test_a_file_that_cannot_be_read(file: str) -> None:
    with pytest.raises(SetupError, match="cannot be read"):
        read_config(Path(file))


def test_a_file_with_a_byte_order_mark_is_read(written: Callable[[str | bytes], Config]) -> None:
    assert load(Settings, written("\ufeffworkers = 3")).workers == 3


def test_options_go_before_the_environment_and_the_environment_before_the_file(
    written: Callable[[str | bytes], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = written("workers = 1\nbatch = 1\nmemory = 1\n[limits]\nmax_bytes = 1\nmax_scans = 1")
    monkeypatch.setenv("ASSAY_BATCH", "2")
    monkeypatch.setenv("ASSAY_WORKERS", "2")
    monkeypatch.setenv("ASSAY_LIMITS__MAX_SCANS", "2")
    settings = load(Settings, config, workers=3)
    assert (settings.workers, settings.batch, settings.memory) == (3, 2, 1)
    assert (settings.limits.max_bytes, settings.limits.max_scans) == (1, 2)


def test_what_is_missing_or_secret(written: Callable[[str | bytes], Config]) -> None:
    with pytest.raises(SetupError, match=r"'kafka.input' is missing.*--in.*ASSAY_KAFKA_INPUT.*\[kafka\]"):
        load(KafkaSettings, None, "kafka", brokers="b:1")
    config = written("[kafka]\npassword = ['hunter2']")
    with pytest.raises(SetupError, match=r"kafka\.password") as error:
        load(KafkaSettings, config, "kafka", brokers="b:1", **KAFKA)
    assert "hunter2" not in str(error.value)
    with pytest.raises(SetupError, match=r"kafka\.brokrs.*nearest.*kafka\.brokers"):
        load(KafkaSettings, written("[kafka]\nbrokrs = 'b:1'"), "kafka", brokers="b:1", **KAFKA)


def test_variables_that_are_none_of_ours_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = ("ASSAY_WORKERS", "ASSAY_LIMITS__MAX_BYTES", "ASSAY_KAFKA_PASSWORD", "ASSAY_CACHE")
    of_kubernetes = (
        "ASSAY_PORT",
        "ASSAY_PORT_8001_TCP_ADDR",
        "ASSAY_SERVICE_HOST",
        "ASSAY_SERVICE_PORT_GRPC",
    )
    for name in (*ours, *of_kubernetes):
        monkeypatch.setenv(name, "1")
    models = (Settings, KafkaSettings)
    assert list(unknown_variables(*models)) == []
    for name in ("ASSAY_WROKERS", "assay_workers", "ASSAY_LIMITS__MAX_BYTE"):
        monkeypatch.setenv(name, "1")
    assert dict(unknown_variables(*models)) == {
        "ASSAY_WROKERS": "ASSAY_WORKERS",
        "assay_workers": "ASSAY_WORKERS",
        "ASSAY_LIMITS__MAX_BYTE": "ASSAY_LIMITS__MAX_BYTES",
    }


class Stopped(SetupError):
    """Raised where the work would begin."""


@contextlib.contextmanager
def stopped_before_work() -> Iterator[None]:
    def stop(*given: object, **named: object) -> None:
        raise Stopped("the settings are right")

    with (
        mock.patch.object(scan, "Core", stop),
        mock.patch.object(serve, "Core", stop),
        mock.patch.object(server, "check_addresses", stop),
    ):
        yield


NAMES = [*Settings.model_fields, "limits.max_bytes", "limits.max_pixels", "grpc.address", "grpc.max_streams"]
NAMES += ["serve.timeout", "serve.delay", "http.address", "kafka.brokers", "kafka.window", "kafka.password"]
TEXTS = st.one_of(
    st.sampled_from(
        ["", "inf", "-inf", "nan", "-1", "0", "1", "0,1", "1e400", "true", "[", "{", "[0]", "auto"]
    ),
    # As an environment and a command line hold them: any bytes but 0, those that are no UTF-8 as surrogates.
    st.binary(max_size=16).map(lambda data: os.fsdecode(data.replace(b"\0", b""))),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
    st.integers().map(str),
    st.floats().map(str),
)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(codec="utf-8"), max_size=6),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "max_bytes"]), inner),
    max_leaves=4,
)


def toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f") if value.isascii() else json.dumps(repr(value))
    return str(value).lower()


def variable(name: str) -> str:
    return "ASSAY_" + name.upper().replace("LIMITS.", "LIMITS__").replace(".", "_")


def ended(arguments: Sequence[str], variables: Mapping[str, str]) -> tuple[int, str]:
    """The exit code and standard error of the command line, in this process."""
    said = io.StringIO()
    with (
        mock.patch.dict(os.environ, variables),
        contextlib.redirect_stderr(said),
        stopped_before_work(),
        pytest.raises(SystemExit) as end,
    ):
        cli.main(arguments)
    return int(end.value.code or 0), said.getvalue()


@given(
    variables=st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=2),
    lines=st.dictionaries(st.sampled_from([*NAMES, "grpc", "limits", "serve", "other"]), VALUES, max_size=2),
    options=st.dictionaries(
        st.sampled_from(["--workers", "--devices", "--executor", "--precision", "--config"]),
        TEXTS,
        max_size=2,
    ),
    command=st.sampled_from([["scan", "."], ["serve", "--grpc", "127.0.0.1:0"], ["serve", "--kafka", "b:1"]]),
)
def test_no_setting_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory,
    variables: dict[str, str],
    lines: dict[str, Any],
    options: dict[str, str],
    command: list[str],
) -> None:
    file = tmp_path_factory.getbasetemp() / "drawn.toml"
    file.write_text("".join(f"{name} = {toml(value)}\n" for name, value in lines.items()), "utf-8")
    arguments = [*command, "--config", str(file)]
    for name, text in options.items():
        arguments.append(f"{name}={text}")
    code, said = ended(arguments, {variable(name): text for name, text in variables.items()})
    assert code == 2
    last = said.rstrip("\n").splitlines()[-1]
    assert last.startswith("assay: ") or "Usage" in said  # an option that the parser itself refuses
    if "Usage" not in said:
        assert len(said.rstrip("\n").split("\n")) == 1


def test_each_door_opens_by_its_variable_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = ended(["serve"], {"ASSAY_GRPC_ADDRESS": "127.0.0.1:0"})
    assert (code, said) == (2, "assay: the settings are right\n")
    code, said = ended(["serve"], {"ASSAY_KAFKA_BROKERS": "b:1"})
    assert "'kafka.input' is missing" in said
    assert "nothing to serve" in ended(["serve"], {"ASSAY_HTTP_ADDRESS": "127.0.0.1:0"})[1]


def test_every_table_refuses_what_is_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_SERVE_TIMEOUT", "inf")
    with pytest.raises(SetupError, match=r"serve\.timeout.*ASSAY_SERVE_TIMEOUT.*finite"):
        load(ServeSettings, None, "serve")
    assert environment(GrpcSettings) == {}


def test_settings_may_still_be_made_in_code(monkeypatch: pytest.MonkeyPatch, bundle: Any) -> None:
    monkeypatch.setenv("ASSAY_WORKERS", "0")
    assert Settings(batch=2).workers == 0
    assert Settings(workers=1).workers == 1
    core = Core([bundle])
    assert core.settings.workers == 0
    core.stop()
