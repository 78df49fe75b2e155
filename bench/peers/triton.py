"""Triton Inference Server with its Python backend, dynamic batching, gRPC.

The binary is that of nvidia-pytriton's wheel, started directly. It needs NumPy 1 in the processes of its
models, so both lie in a folder of their own, which no other process reads: `make bench-peers` makes it.
"""

import os
import struct
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

from assay.bench.peers.client import GrpcClient, PeerFault
from assay.bench.peers.peer import Peer
from assay.bench.peers.setup import Setup
from assay.engine.wire.inference import service_pb2 as pb

FOLDER = Path(sys.prefix) / "triton"
MODEL = """import site, sys
sys.path.insert(0, {own!r})
for folder in {folders!r}:
    site.addsitedir(folder)
from assay.bench.peers.servers.triton import TritonPythonModel
"""
CONFIG = """backend: "python"
max_batch_size: {batch}
input {{ name: "IMAGE" data_type: TYPE_STRING dims: [1] }}
output {{ name: "PROBABILITY" data_type: TYPE_FP32 dims: [1] }}
instance_group {{ count: {workers} kind: KIND_CPU }}
dynamic_batching {{}}
"""


class TritonClient(GrpcClient):
    method = "/inference.GRPCInferenceService/ModelInfer"

    def request(self, image: bytes) -> bytes:
        tensor = pb.ModelInferRequest.InferInputTensor(name="IMAGE", datatype="BYTES", shape=[1, 1])
        contents = struct.pack("<I", len(image)) + image
        return pb.ModelInferRequest(
            model_name="peer", inputs=[tensor], raw_input_contents=[contents]
        ).SerializeToString()

    def probability(self, answer: bytes) -> float:
        contents = pb.ModelInferResponse.FromString(answer).raw_output_contents
        if len(contents) != 1 or len(contents[0]) != 4:
            raise PeerFault("answered without one float")
        return float(struct.unpack("<f", contents[0])[0])


class Triton(Peer):
    name = "Triton"
    packages = ()
    note = "Python backend, an instance a core, dynamic batching up to 4, gRPC"

    def command(self, setup: Setup) -> list[str]:
        model = setup.folder / "models" / "peer"
        (model / "1").mkdir(parents=True)
        folders = [path for path in sys.path if path.endswith("site-packages")]
        (model / "1" / "model.py").write_text(MODEL.format(own=str(FOLDER), folders=folders))
        (model / "config.pbtxt").write_text(CONFIG.format(batch=setup.batch, workers=setup.workers))
        server = FOLDER / "pytriton" / "tritonserver"
        return [
            str(server / "bin" / "tritonserver"),
            f"--model-repository={model.parent}",
            f"--backend-directory={_backends(server, setup.folder)}",
            f"--backend-config=python,shm-region-prefix-name=peer{os.getpid()}{setup.port}",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={setup.port}",
            "--allow-http=false",
            "--allow-metrics=false",
        ]

    def variables(self, setup: Setup) -> dict[str, str]:
        """Its libraries, and Python's."""
        libraries = [sysconfig.get_config_var("LIBDIR"), str(FOLDER / "nvidia_pytriton.libs")]
        known = [os.environ[name] for name in ("LD_LIBRARY_PATH",) if os.environ.get(name)]
        return {"LD_LIBRARY_PATH": ":".join([*libraries, *known])}

    def absent(self) -> str | None:
        return None if self._versions() else f"not installed: no nvidia-pytriton in {FOLDER.name}/"

    def version(self) -> str:
        return self._versions()

    def _versions(self) -> str:
        found = sorted(distributions(path=[str(FOLDER)]), key=lambda each: each.name, reverse=True)
        return ", ".join(f"{each.name} {each.version}" for each in found)

    def client(self, port: int) -> TritonClient:
        return TritonClient(port)


def _backends(server: Path, folder: Path) -> Path:
    """The Python backend, and beside it the stub that is linked with this version of Python."""
    backend = folder / "backends" / "python"
    backend.mkdir(parents=True)
    major, minor = sys.version_info[:2]
    stubs = server / "python_backend_stubs" / f"{major}.{minor}"
    for file in (*(server / "backends" / "python").glob("*triton*"), *stubs.iterdir()):
        (backend / file.name).symlink_to(file)
    return backend.parent
