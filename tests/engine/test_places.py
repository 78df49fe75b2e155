"""Odd places: what is no file, what cannot be read or written, streams that are closed or full."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support.bundles import plain_bundle
from support.images import encode, photograph

from assay.engine.commands import app as cli
from assay.engine.commands import explain, scan
from assay.engine.doors.files import find_files, one_file, read_file
from assay.engine.errors import SetupError
from assay.engine.outcome import Reason, Refused
from assay.engine.settings import Limits
from assay.engine.streams import allow_files

ASSAY = Path(sys.executable).with_name("assay")
DATA = encode(photograph(48, 64))


@pytest.fixture(scope="module")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_bundle(tmp_path_factory.mktemp("bundle"))


def found(*paths: Path) -> tuple[list[Path], list[str]]:
    told: list[str] = []
    return list(find_files(paths, told.append)), told


def test_what_is_no_file_is_told_and_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "zero\n").symlink_to("/dev/zero")
    (tmp_path / "link").symlink_to("z.png")
    (tmp_path / "z.png").write_bytes(DATA)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        files, told = found(tmp_path)
    assert files == [tmp_path / "link", tmp_path / "z.png"]
    assert [sentence.removeprefix(f"{tmp_path}/").removesuffix(": passed over") for sentence in told] == [
        "broken is a link to what does not exist",
        "fifo is a FIFO",
        "loop is a link to a folder, which is not followed",
        "self is a link that cannot be followed (Too many levels of symbolic links)",
        "socket is a socket",
        r"zero\n is a device",
    ]


def test_files_come_folder_by_folder_in_order(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a", "c", "b/a/3", "a.d/4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files, told = found(tmp_path, tmp_path / "c")
    names = [str(file.relative_to(tmp_path)) for file in files]
    assert names == ["a", "c", "a.d/4", "b/1", "b/2", "b/a/3", "c"]
    assert told == []


def test_folders_are_followed_as_deep_as_a_path_is_long(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for name in ["d"] * 1100 + ["e" * 255] * 12:  # deeper than Python calls itself; longer than a path may be
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    [deepest], told = found(tmp_path)
    assert told == []
    with pytest.raises(Refused, match="File name too long"):
        read_file(deepest, Limits())
    subprocess.run(["rm", "-r", str(tmp_path / "d")], check=True)


LOCKED = """
import os, sys
from pathlib import Path
from assay.engine.doors.files import find_files, one_file, read_file
from assay.engine.errors import SetupError
from assay.engine.outcome import Refused
from assay.engine.settings import Limits

if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for path in find_files([Path(sys.argv[1])], print):
    try:
        print(path.relative_to(sys.argv[1]), len(read_file(path, Limits())))
    except Refused as refused:
        print(path.relative_to(sys.argv[1]), refused.detail)
try:
    one_file(Path(sys.argv[1], "locked", "a.png"))
except SetupError as error:
    print(str(error).rpartition("/")[2])
"""


def test_a_folder_that_is_locked_has_a_line(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        for name in ("locked", "names-only", "open"):
            (top / name).mkdir()
            (top / name / "a.png").write_bytes(b"12345")
        (top / "unreadable").touch(0)
        (top / "locked").chmod(0)
        (top / "names-only").chmod(0o744)
        top.chmod(0o755)
        (top / "unreadable").chmod(0)
        command = [sys.executable, "-P", "-c", LOCKED, folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        for name in ("locked", "names-only"):
            (top / name).chmod(0o755)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    if os.getuid() == 0:  # else these are the user's own, who may enter what the others may only list
        assert lines[2] == "names-only/a.png The file cannot be read: Permission denied."
    assert lines[:2] + lines[3:] == [
        "unreadable The file cannot be read: Permission denied.",
        "locked The folder cannot be listed: Permission denied.",
        "open/a.png 5",
        "a.png cannot be looked at: Permission denied",
    ]


@pytest.mark.parametrize("name", ["x" * 300, "nowhere", "self", "fifo", "."])
def test_a_path_that_is_given_and_no_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "self").symlink_to("self")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SetupError, match=r"does not exist|cannot be looked at|neither|is no file"):
        one_file(tmp_path / name)


def test_a_file_may_change_under_the_scan(tmp_path: Path) -> None:
    limits = Limits(max_bytes=10)
    os.mkfifo(tmp_path / "was a file")  # nobody writes to it: whoever waits, waits for ever
    with pytest.raises(Refused) as refused:
        read_file(tmp_path / "was a file", limits)
    assert refused.value.reason is Reason.UNDECODABLE
    with pytest.raises(Refused, match="cannot be read"):
        read_file(tmp_path / "gone", limits)
    (tmp_path / "says nothing").symlink_to("/proc/self/status")  # has a size of 0
    with pytest.raises(Refused) as refused:
        read_file(tmp_path / "says nothing", limits)
    assert refused.value.reason is Reason.TOO_MANY_BYTES


def test_workers_are_as_many_as_open_files_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    granted: list[tuple[int, int]] = []
    monkeypatch.setattr("resource.setrlimit", lambda _, limits: granted.append(limits))

    def allowed(soft: int, hard: int, workers: int) -> int:
        monkeypatch.setattr("resource.getrlimit", lambda _: (soft, hard))
        return allow_files(workers)

    assert allowed(1024, 4096, 4) == 4
    assert granted == []
    assert allowed(20, 4096, 4) == 4
    assert allowed(20, -1, 4) == 4
    assert allowed(20, 20, 4) == 1
    assert granted == [(40, 4096), (40, -1), (20, 20)]
    with pytest.raises(SetupError, match="ulimit -n"):
        allowed(15, 15, 1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("1.png", "\u65e5\u672c.png", "\u00fc.png"):
        (folder / name).write_bytes(DATA)
    return folder


def sh(command: str, photos: Path, bundle: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A shell's command line in which `scan` scores the photos in this place, without a worker process."""
    line = command.replace("scan", f"{ASSAY} scan . --workers 0 --bundle {bundle}")
    return subprocess.run(
        ["sh", "-c", line],
        cwd=photos,
        env={**os.environ, **variables},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "code", "lines", "says"),
    [
        ("scan > /dev/full", 2, 0, "standard output cannot be written: No space left on device"),
        ("scan --csv /dev/full", 2, 0, "/dev/full cannot be written: No space left on device"),
        ("scan --report /dev/full", 2, 0, "/dev/full cannot be written: No space left on device"),
        ("scan 2> /dev/full", 0, 3, ""),
        ("scan >&-", 0, 0, "standard output is closed"),
        ("scan <&- >&- 2>&-", 0, 0, ""),
        ("ulimit -n 15; scan --workers 1", 2, 0, "ulimit -n"),
    ],
)
def test_streams_that_are_full_or_closed(
    photos: Path, bundle_path: Path, command: str, code: int, lines: int, says: str
) -> None:
    done = sh(command, photos, bundle_path)
    assert "Traceback" not in done.stderr
    assert (done.returncode, len(done.stdout.splitlines())) == (code, lines), done.stderr
    assert says in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_has_few_letters_shows_every_line(
    photos: Path, bundle_path: Path, encoding: str
) -> None:
    done = sh("scan", photos, bundle_path, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 3
    assert r"\u65e5\u672c.png" in done.stdout


def test_a_worker_starts_without_standard_input(photos: Path, bundle_path: Path) -> None:
    done = sh("scan --json --workers 1 <&-", photos, bundle_path)
    assert done.returncode == 0, done.stderr
    assert all("label" in json.loads(line) for line in done.stdout.splitlines())


@pytest.fixture
def no_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "Core", lambda *_: pytest.fail("work was begun"))
    monkeypatch.setattr(scan, "find", lambda name: None)


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as end:
        cli.main([str(argument) for argument in arguments])
    assert end.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    return str(line)


@pytest.mark.usefixtures("no_core")
@pytest.mark.parametrize("option", ["--csv", "--report"])
@pytest.mark.parametrize("place", [".", "no/folder", "loop", "x" * 300, "1.png/x"])
def test_a_place_that_cannot_be_written_is_told_before_any_work(
    photos: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, option: str, place: str
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "1.png").touch()
    assert "cannot be written" in said(capsys, "scan", photos, option, tmp_path / place, "--workers", 0)


@pytest.mark.parametrize(
    "place", ["picture.xyz", "picture", "no/folder.png", "folder.png", "x" * 300 + ".png"]
)
def test_a_picture_that_cannot_be_written_is_told_before_any_work(
    photos: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    place: str,
) -> None:
    monkeypatch.setattr(explain, "find", lambda name: pytest.fail("work was begun"))
    (tmp_path / "folder.png").mkdir()
    assert "cannot be written" in said(capsys, "explain", photos / "1.png", "-o", tmp_path / place)
    assert list(tmp_path.iterdir()) == [tmp_path / "folder.png"]


def test_an_error_about_a_hostile_name_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    line = said(capsys, "scan", "no\nauthentic 0.001 \x1b[2Jphoto.jpg", "--workers", 0)
    assert r"no\nauthentic 0.001 \x1b[2Jphoto.jpg does not exist" in line
