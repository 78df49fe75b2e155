"""Rebuilds the Python code of `proto/` in this folder: `python -m assay.engine.wire.generate` (`make proto`).

protoc sees `proto/` under the virtual path `assay/engine/wire`, so that generated modules import each other
by the names they are installed under. Needs the `dev` extra, whose grpcio-tools is pinned: a generated file
refuses a protobuf or grpcio older than what it was made with.

Clients of the Open Inference Protocol bring modules of their own that register the messages of package
`inference`, and a pool takes a name once. Ours go into a pool of our own, `POOL` of the package, so that both
can live in one process.
"""

import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent.parent / "proto"
VIRTUAL = "assay/engine/wire"
DEFAULT_POOL = "_descriptor_pool.Default()"
INSERTION = "# @@protoc_insertion_point(imports)"
OWN_POOL = "from assay.engine.wire.inference import POOL as _POOL"


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
            if path.parts[0] == "inference" and path.name.endswith("_pb2.py"):
                _into_own_pool(folder / path)
    return written


def _into_own_pool(module: Path) -> None:
    text = module.read_text("utf-8")
    assert text.count(DEFAULT_POOL) == 1
    own = text.replace(DEFAULT_POOL, "_POOL").replace(INSERTION, f"{INSERTION}\n{OWN_POOL}")
    module.write_text(own, "utf-8")


if __name__ == "__main__":
    for path in generate(HERE):
        print(HERE / path)
