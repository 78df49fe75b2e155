"""Rebuilds the Python code of `proto/` in this folder: `python -m assay.engine.wire.generate` (`make proto`).

protoc sees `proto/` under the virtual path `assay/engine/wire`, so that generated modules import each other
by the names they are installed under. Needs the `dev` extra, whose grpcio-tools is pinned: a generated file
refuses a protobuf or grpcio older than what it was made with.
"""

import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent.parent / "proto"
VIRTUAL = "assay/engine/wire"


def generate(folder: Path, sources: Path = SOURCES) -> list[Path]:
    """Writes the modules for every .proto below `sources` into `folder`; returns their paths below it."""
    from grpc_tools import protoc

    names = sorted(f"{VIRTUAL}/{path.relative_to(sources).as_posix()}" for path in sources.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as out:
        arguments = [
            "protoc",
            f"-I{VIRTUAL}={sources}",
            f"-I{files('grpc_tools') / '_proto'}",
            f"--python_out={out}",
            f"--pyi_out={out}",
            f"--grpc_python_out={out}",
            *names,
        ]
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc failed; its messages are above")
        root = Path(out) / VIRTUAL
        written = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
        for path in written:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, folder / path)
    return written


if __name__ == "__main__":
    for path in generate(HERE):
        print(HERE / path)
