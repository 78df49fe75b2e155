"""Servers for `assay.bench.ingest`: gRPC's own cost, and a front whose workers cost nothing.

    python -m assay.bench.null_server bare OUTCOMES     # answers each message at once, with so many outcomes
    python -m assay.bench.null_server front ARGUMENT... # `assay ARGUMENT...` with null workers in the front
    python -m assay.bench.null_server processes ARGUMENT... # the same with processes
    python -m assay.bench.null_server beside ARGUMENT... # with processes, and of several fronts only one

The bare one is grpc.aio with the options of the door, and neither reads what it gets nor makes what it sends.
"""

import asyncio
import signal
import sys
from typing import Any

import grpc

from assay.bench.null_worker import VERDICT, take_over
from assay.engine.doors.grpc.service import SERVICE
from assay.engine.fronts.fronts import Fronts, Watched
from assay.engine.fronts.process import Plan
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.convert import to_message
from assay.engine.wire.pieces import MAX_MESSAGE

Context = grpc.aio.ServicerContext[Any, Any]


class Alone(Fronts):
    """One front, however many were asked for."""

    def __init__(self, core: Watched, plan: Plan, _count: int) -> None:
        super().__init__(core, plan, 1)


async def bare(outcomes: int) -> None:
    """Serve until SIGTERM."""
    one = pb.ScoreResponse(outcome=to_message(VERDICT)).SerializeToString()
    several = pb.ScoreStreamResponse(outcomes=[to_message(VERDICT)] * outcomes).SerializeToString()

    async def score(_request: bytes, _context: Context) -> bytes:
        return one

    async def score_stream(_requests: object, context: Context) -> None:
        while await context.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]
            await context.write(several)

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_MESSAGE)])
    methods = {
        "Score": grpc.unary_unary_rpc_method_handler(score),
        "ScoreStream": grpc.stream_stream_rpc_method_handler(score_stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    print(f"gRPC on 127.0.0.1:{port}", file=sys.stderr, flush=True)
    await stopping.wait()
    await server.stop(None)


def main() -> None:
    if sys.argv[1] == "bare":
        asyncio.run(bare(int(sys.argv[2])))
        return
    from assay.engine.commands import serve
    from assay.engine.commands.app import main as assay

    take_over(processes=sys.argv[1] != "front")
    if sys.argv[1] == "beside":  # nobody is better off with it, so that `assay serve` has no option for it
        serve.Fronts = Alone  # type: ignore[attr-defined, assignment]
    sys.argv[:2] = ["assay"]
    assay()


if __name__ == "__main__":
    main()
