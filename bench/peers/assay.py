"""Assay, by its unary gRPC."""

import sys

from assay.bench.peers.client import GrpcClient, PeerFault
from assay.bench.peers.peer import Peer
from assay.bench.peers.processes import command_line
from assay.bench.peers.setup import Setup
from assay.engine.wire.assay.v1 import scoring_pb2 as pb


class AssayClient(GrpcClient):
    method = "/assay.v1.ScoringService/Score"

    def request(self, image: bytes) -> bytes:
        return pb.ScoreRequest(image=pb.Image(data=image)).SerializeToString()

    def probability(self, answer: bytes) -> float:
        outcome = pb.ScoreResponse.FromString(answer).outcome
        if not outcome.HasField("verdict"):
            raise PeerFault(f"rejected an image: {outcome.rejection.detail}")
        return outcome.verdict.probability


class Assay(Peer):
    name = "Assay"
    packages = ("assay", "openvino", "simplejpeg", "grpcio")
    note = (
        "`assay serve`, unary gRPC; nothing kept of images that were seen, nobody refused for a queue. "
        "At its best: `--precision auto`"
    )

    def command(self, setup: Setup) -> list[str]:
        precision = "auto" if setup.precision == "best" else setup.precision
        serve = f"serve --grpc 127.0.0.1:{setup.port} --cache-mib 0 --workers {setup.workers}"
        run = "from assay.engine.commands.app import main; main()"
        options = ["--bundle", str(setup.bundle), "--precision", precision]
        return [sys.executable, "-P", "-c", run, *serve.split(), *options]

    def variables(self, setup: Setup) -> dict[str, str]:
        """As the others it lets all wait that come, even if a busy machine is slow for a second."""
        return {"ASSAY_QUEUE_SECONDS": "60"}

    def client(self, port: int) -> AssayClient:
        return AssayClient(port)

    def is_worker(self, pid: int, setup: Setup) -> bool:
        return "assay.engine.worker" in command_line(pid)
