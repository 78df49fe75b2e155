from collections.abc import Iterator

import grpc
import pytest
from support.stub_core import StubCore

from assay.engine.doors.grpc import GrpcDoor, GrpcSettings
from assay.engine.wire.assay.v1 import scoring_pb2_grpc


@pytest.fixture
def core() -> Iterator[StubCore]:
    core = StubCore()
    yield core
    core.stop()


@pytest.fixture
def door(core: StubCore) -> Iterator[GrpcDoor]:
    settings = GrpcSettings(address="127.0.0.1:0", stream_window=16, max_streams=3)
    door = GrpcDoor(core, settings)  # type: ignore[arg-type]
    door.start()
    yield door
    door.stop()


@pytest.fixture
def channel(door: GrpcDoor) -> Iterator[grpc.Channel]:
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{door.port}", options=options) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel) -> scoring_pb2_grpc.ScoringServiceStub:
    return scoring_pb2_grpc.ScoringServiceStub(channel)
