"""Packages: fetched once, unpacked whole or not at all, and clear about what went wrong."""

import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from assay.trainers.benchmark import packages
from assay.trainers.benchmark.packages import Package, PackageError, Store, debian, fetch, npm, pypi, unpack


def zipped(package: Package, folder: Path) -> Path:
    path = folder / "one-1.0.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("inside/a.txt", str(package))
    return path


def test_a_package_is_fetched_once(tmp_path: Path) -> None:
    calls = []

    def counting(package: Package, folder: Path) -> Path:
        calls.append(package)
        return zipped(package, folder)

    store = Store(tmp_path, counting)
    first, second = store.path(pypi("one", "1.0")), store.path(pypi("one", "1.0"))
    assert first == second
    assert (first / "inside" / "a.txt").read_text() == "pypi:one@1.0"
    assert len(calls) == 1
    assert [path.name for path in tmp_path.iterdir()] == [first.name]  # no download is left behind


def test_packages_of_one_name_do_not_meet(tmp_path: Path) -> None:
    store = Store(tmp_path, zipped)
    names = [npm("one", "1.0"), npm("one", "2.0"), pypi("one", "1.0"), npm("@one/two", "1.0"), debian("one")]
    assert len({store.path(package) for package in names}) == len(names)
    assert all(path.parent == tmp_path for path in map(store.path, names))


def test_a_broken_archive_leaves_nothing(tmp_path: Path) -> None:
    def broken(package: Package, folder: Path) -> Path:
        whole = zipped(package, folder)
        whole.write_bytes(whole.read_bytes()[:-30])
        return whole

    with pytest.raises(PackageError, match="cannot be unpacked"):
        Store(tmp_path, broken).path(pypi("one", "1.0"))
    assert list(tmp_path.iterdir()) == []
    assert Store(tmp_path, zipped).path(pypi("one", "1.0")).is_dir()


def test_an_archive_cannot_write_outside(tmp_path: Path) -> None:
    inner = tmp_path / "evil.txt"
    inner.write_text("x")
    archive = tmp_path / "evil.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(inner, "../../escaped.txt")
    target = tmp_path / "a" / "b"
    target.mkdir(parents=True)
    with pytest.raises(PackageError, match=r"evil\.tgz cannot be unpacked"):
        unpack(archive, target)
    assert not (tmp_path / "escaped.txt").exists()


@pytest.mark.parametrize(
    ("package", "client"), [(npm("a", "1"), "npm"), (debian("a"), "apt-get")], ids=["npm", "debian"]
)
def test_a_missing_client_is_named(
    package: Package, client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackageError, match=f"`{client}`, which is not installed"):
        fetch(package, tmp_path)


def test_a_failing_client_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tmp_path / "npm"
    client.write_text("#!/bin/sh\necho first >&2; echo no such version >&2; exit 3\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(
        PackageError, match=r"npm:a@1: `npm pack a@1 --loglevel=error` failed: first; no such version"
    ):
        fetch(npm("a", "1"), tmp_path)


def test_a_client_that_brings_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_run", lambda command, folder, what: None)
    with pytest.raises(PackageError, match="left 0 files"):
        fetch(npm("a", "1"), tmp_path)


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
def test_a_debian_package_is_unpacked(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: one\nVersion: 1\nArchitecture: all\nMaintainer: n <n@example.org>\nDescription: d\n"
    )
    (tree / "usr").mkdir()
    (tree / "usr" / "a.txt").write_text("content")
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-b", str(tree), str(tmp_path / "one.deb")],
        check=True,
        capture_output=True,
    )
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "one.deb", tmp_path / "out")
    assert (tmp_path / "out" / "usr" / "a.txt").read_text() == "content"
