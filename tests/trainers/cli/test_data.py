"""`assay data` on the command line: one sentence and exit code 2 when something is missing."""

import importlib.util
from pathlib import Path

import pytest
from support.command import exit_code


def run(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = exit_code(*arguments)
    output = capfd.readouterr()
    assert output.out == ""
    assert "Traceback" not in output.err
    return code, " ".join(output.err.split())


def test_a_missing_package_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for module in ("ncnn", "einops"):
        pytest.importorskip(module)
    monkeypatch.setenv("PATH", str(tmp_path))
    code, sentence = run(["data", str(tmp_path / "out"), "--light"], capfd)
    assert code == 2
    assert "is fetched with `npm`, which is not installed here" in sentence


def test_a_missing_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ncnn" else find(name))
    code, sentence = run(["data", str(tmp_path / "out")], capfd)
    assert code == 2
    assert "`assay data` needs ncnn, which is not installed: pip install 'assay[data]'" in sentence
