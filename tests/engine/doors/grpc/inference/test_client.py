"""The Open Inference Protocol against the client that people have: tritonclient, on loopback."""

import asyncio
import queue
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from support.stub_core import StubCore, judge
from tritonclient.utils import InferenceServerException

from assay.engine.doors.grpc import GrpcDoor
from assay.engine.item import Item, Priority
from assay.engine.outcome import Verdict

OUTPUTS = ["probability", "label", "score_stub", "rejected", "detail", "doubts"]
IMAGES = [b"one", b"bad one", b"", b"three"]


@pytest.fixture
def core(core: StubCore) -> StubCore:
    for bundle in core.bundles.values():
        bundle.kind = "stub"  # the detector that its verdicts name
    return core


@pytest.fixture
def client(door: GrpcDoor) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{door.port}") as client:
        yield client


def image(images: list[bytes], column: bool = False) -> triton.InferInput:
    array = np.array(images, dtype=np.object_).reshape((-1, 1) if column else (-1,))
    tensor = triton.InferInput("image", list(array.shape), "BYTES")
    tensor.set_data_from_numpy(array)
    return tensor


def check(result: Any, images: list[bytes], shape: tuple[int, ...], bundle: str = "first") -> None:
    """Every output says what the core said of each image."""
    got = {name: result.as_numpy(name) for name in OUTPUTS}
    assert all(values.shape == shape for values in got.values())
    for place, data in enumerate(images):
        outcome = judge(Item("", data, bundle))
        row = {name: values.reshape(-1)[place] for name, values in got.items()}
        if isinstance(outcome, Verdict):
            assert row["probability"] == np.float32(outcome.probability)
            assert row["score_stub"] == np.float32(outcome.scores["stub"])
            assert (row["label"], row["rejected"], row["detail"]) == (outcome.label.value.encode(), b"", b"")
            assert row["doubts"] == ",".join(outcome.doubts).encode()
        else:
            assert np.isnan([row["probability"], row["score_stub"]]).all()
            assert row["label"] == row["doubts"] == b""
            assert row["rejected"] == outcome.reason.value.encode()
            assert row["detail"] == outcome.detail.encode()


def test_what_is_asked_before_the_first_image(client: Any, core: StubCore) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("first")
    assert client.is_model_ready("second", "1.0.0")
    assert client.is_model_ready("second", "1")  # for clients whose versions are whole numbers
    server = client.get_server_metadata(as_json=True)
    assert server["name"] == "assay"
    assert {"statistics", "model_configuration"} <= set(server["extensions"])
    model = client.get_model_metadata("first", as_json=True)
    assert (model["name"], model["versions"], model["platform"]) == ("first", ["1.0.0"], "assay")
    assert model["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": ["-1", "1"]}]
    assert [output["name"] for output in model["outputs"]] == OUTPUTS
    config = client.get_model_config("first", as_json=True)["config"]
    assert config["max_batch_size"] == 1024
    assert config["input"] == [{"name": "image", "data_type": "TYPE_STRING", "dims": ["1"]}]
    assert [output["name"] for output in config["output"]] == OUTPUTS
    index = client.get_model_repository_index(as_json=True)["models"]
    assert index == [{"name": name, "version": "1.0.0", "state": "READY"} for name in ("first", "second")]
    core.serving = False
    assert client.is_server_live()
    assert not client.is_server_ready()
    assert not client.is_model_ready("first")


@pytest.mark.parametrize("column", [False, True], ids=["[n]", "[n, 1]"])
def test_each_image_gets_its_outcome_and_a_bad_one_hurts_only_itself(client: Any, column: bool) -> None:
    result = client.infer("first", [image(IMAGES, column)], request_id="mine")
    check(result, IMAGES, (4, 1) if column else (4,))
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == ("mine", "first", "1.0.0")


def test_only_the_outputs_that_are_asked_for_come(client: Any) -> None:
    outputs = [triton.InferRequestedOutput(name) for name in ("label", "probability")]
    result = client.infer("second", [image([b"x"])], outputs=outputs)
    assert [output.name for output in result.get_response().outputs] == ["label", "probability"]
    with pytest.raises(InferenceServerException, match="no output 'heat'; it has probability, label"):
        client.infer("first", [image([b"x"])], outputs=[triton.InferRequestedOutput("heat")])


def test_the_item_says_what_the_request_said(client: Any, core: StubCore) -> None:
    client.infer("second", [image([b"x", b"y"])], request_id="r", priority=2, timeout=30_000_000)
    client.infer("first", [image([b"z"])], priority=1)
    first, second, third = core.taken
    assert (first.id, first.bundle, first.data, first.priority) == ("r/0", "second", b"x", Priority.BACKLOG)
    assert (second.id, second.data, third.priority) == ("r/1", b"y", Priority.INTERACTIVE)
    assert first.deadline is not None
    assert third.deadline is None


@pytest.mark.parametrize(
    ("status", "says", "arguments"),
    [
        ("NOT_FOUND", "'third' is not served here; served: first, second", {"model_name": "third"}),
        ("NOT_FOUND", "served in version 1.0.0 only", {"model_version": "7"}),
    ],
)
def test_an_unknown_model_is_not_found(client: Any, status: str, says: str, arguments: Any) -> None:
    with pytest.raises(InferenceServerException, match=says) as error:
        client.infer(**{"model_name": "first", "inputs": [image([b"x"])], **arguments})
    assert error.value.status() == f"StatusCode.{status}"
    with pytest.raises(InferenceServerException, match=says):
        client.get_model_metadata(arguments.get("model_name", "first"), arguments.get("model_version", ""))


def test_bundles_are_not_loaded_later(client: Any) -> None:
    for call in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException, match="--bundle") as error:
            call("first")
        assert error.value.status() == "StatusCode.UNIMPLEMENTED"


def test_without_room_for_any_image_the_call_ends_so_and_with_room_for_some_they_are_scored(
    client: Any, core: StubCore
) -> None:
    core.room = 10
    core.gate.clear()
    with pytest.raises(InferenceServerException, match="no room") as error:
        client.infer("first", [image([b"x" * 11, b"y" * 11])])
    assert error.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
    core.gate.set()
    result = client.infer("first", [image([b"x" * 11, b"y"])])
    assert list(result.as_numpy("rejected")) == [b"overloaded", b""]


def test_a_timeout_that_passes_for_every_image_is_the_deadline_of_the_call(
    client: Any, core: StubCore
) -> None:
    core.gate.clear()
    with pytest.raises(InferenceServerException, match="too late") as error:
        client.infer("first", [image([b"x"])], timeout=20_000)
    assert error.value.status() == "StatusCode.DEADLINE_EXCEEDED"


def test_statistics_count_requests_and_images(client: Any) -> None:
    client.infer("first", [image(IMAGES)])
    client.infer("first", [image([b"x"])])
    stats = client.get_inference_statistics("first", as_json=True)["model_stats"]
    assert len(stats) == 1
    counted = stats[0]
    assert (counted["inference_count"], counted["execution_count"]) == ("3", "2")
    assert (counted["name"], counted["version"]) == ("first", "1")
    times = counted["inference_stats"]
    assert times["success"]["count"] == "2"
    assert times["compute_input"] == {"count": "2", "ns": str(3 * 250_000_000)}
    assert len(client.get_inference_statistics(as_json=True)["model_stats"]) == 2


def test_a_failed_request_is_counted_as_one(client: Any, core: StubCore) -> None:
    core.room = 1
    with pytest.raises(InferenceServerException):
        client.infer("first", [image([b"xx"])])
    counted = client.get_inference_statistics("first", as_json=True)["model_stats"][0]
    assert counted["inference_stats"]["fail"]["count"] == "1"


@pytest.mark.parametrize("image_bytes", [b"x" * (3 << 20)])
def test_large_images_come_through(client: Any, image_bytes: bytes) -> None:
    images = [image_bytes, b"bad", image_bytes + b"y"]
    check(client.infer("first", [image(images)]), images, (3,))


def test_asyncio(door: GrpcDoor) -> None:
    async def ask() -> list[Any]:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{door.port}") as client:
            assert await client.is_model_ready("first")
            return await asyncio.gather(*(client.infer("first", [image([data])]) for data in IMAGES))

    for data, result in zip(IMAGES, asyncio.run(ask()), strict=True):
        check(result, [data], (1,))


def test_a_stream_answers_each_request_in_order_and_outlives_bad_ones(client: Any) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    sent = [IMAGES, [b"x"], [b"y"] * 40, [b"z"]]
    for number, images in enumerate(sent):
        model = "third" if number == 1 else "first"
        client.async_stream_infer(model, [image(images)], request_id=str(number))
    got = [answers.get(timeout=20) for _ in sent]
    client.stop_stream()
    assert answers.empty()
    for number, (images, (result, error)) in enumerate(zip(sent, got, strict=True)):
        if number == 1:
            assert "'third' is not served here" in str(error)
        else:
            assert error is None
            assert result.get_response().id == str(number)
            assert result.get_response().parameters["triton_final_response"].bool_param
            check(result, images, (len(images),))


def test_a_stream_waits_for_room(client: Any, core: StubCore) -> None:
    core.room = 4
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    sent = [[b"one", b"two"], [b"bad"], [b"four", b"five"]]
    for images in sent:
        client.async_stream_infer("first", [image(images)])
    for images in sent:
        result, error = answers.get(timeout=20)
        assert error is None
        check(result, images, (len(images),))
    client.stop_stream()


def test_a_request_whose_bundle_is_unloaded_while_it_waits_is_told_so_and_the_stream_goes_on(
    client: Any, core: StubCore
) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    core.room = 1
    core.gate.clear()
    client.start_stream(lambda result, error: answers.put((result, error)))
    client.async_stream_infer("second", [image([b"1", b"2"])], request_id="cut")  # one is taken, one waits
    client.async_stream_infer("first", [image([b"3"])], request_id="whole")
    while not core.taken:
        time.sleep(0.01)
    del core.bundles["second"]
    core.gate.set()
    _, error = answers.get(timeout=10)
    assert "second" in str(error)
    result, error = answers.get(timeout=10)
    assert error is None
    assert result.get_response().id == "whole"
    client.stop_stream()


def test_a_stream_over_asyncio(door: GrpcDoor) -> None:
    async def ask() -> list[Any]:
        async def requests() -> Any:
            for data in IMAGES:
                yield {"model_name": "first", "inputs": [image([data])]}

        async with triton_aio.InferenceServerClient(f"127.0.0.1:{door.port}") as client:
            return [answer async for answer in client.stream_infer(requests())]

    for data, (result, error) in zip(IMAGES, asyncio.run(ask()), strict=True):
        assert error is None
        check(result, [data], (1,))


def test_a_stream_that_drains_answers_what_it_read(client: Any, core: StubCore, door: GrpcDoor) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    core.gate.clear()
    client.start_stream(lambda result, error: answers.put((result, error)))
    client.async_stream_infer("first", [image([b"x"])])
    while not core.taken:
        time.sleep(0.005)
    core.gate.set()
    door.not_serving()
    assert not client.is_server_ready()
    door.drain(10)
    check(answers.get(timeout=20)[0], [b"x"], (1,))
    assert "draining" in str(answers.get(timeout=20)[1])
    client.stop_stream()


def test_a_lost_engine_is_unavailable(client: Any, core: StubCore) -> None:
    core.fault()
    with pytest.raises(InferenceServerException, match="no worker is left") as error:
        client.infer("first", [image([b"x"])])
    assert error.value.status() == "StatusCode.UNAVAILABLE"
