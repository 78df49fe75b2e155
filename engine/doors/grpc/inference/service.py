"""The calls of `inference.GRPCInferenceService` that are not streams."""

import asyncio
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from assay.engine.bundle import Bundle
from assay.engine.doors.backend import Backend, Operations
from assay.engine.doors.bridge import Bridge
from assay.engine.doors.grpc.inference.messages import read_request, write_response
from assay.engine.doors.grpc.inference.stream import InferStream
from assay.engine.doors.grpc.service import ScoringService, called, until
from assay.engine.doors.inference import about, models
from assay.engine.doors.inference.answer import common_refusal, tensors_of, version_of
from assay.engine.doors.inference.statistics import Counted
from assay.engine.errors import AssayError, EngineFault, SetupError
from assay.engine.wire.inference import service_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
Context = grpc.aio.ServicerContext


CHANGES: dict[str, Callable[[Operations, str], Future[None]]] = {
    "RepositoryModelLoad": lambda control, name: control.load(name),
    "RepositoryModelUnload": lambda control, name: control.unload(name),
}


class InferenceService:
    """Shares the turns, places and the drain of `scoring`. `ready` is what ServerReady says beside it."""

    def __init__(
        self, core: Backend, bridge: Bridge, scoring: ScoringService, window: int, statistics: Counted
    ) -> None:
        self._core = core
        self._bridge = bridge
        self._scoring = scoring
        self._window = window
        self._statistics = statistics
        self.ready = True
        self.control: Operations | None = None

    def handler(self) -> "grpc.GenericRpcHandler[Any, Any]":
        """What a server dispatches the calls of the service to."""
        answers: dict[str, Callable[[Any], Message]] = {
            "ServerLive": lambda _: pb.ServerLiveResponse(live=True),
            "ServerReady": lambda _: pb.ServerReadyResponse(ready=self._is_ready()),
            "ModelReady": self._model_ready,
            "ServerMetadata": lambda _: ParseDict(
                about.server(*models.EXTENSIONS), pb.ServerMetadataResponse()
            ),
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._repository_index,
        }
        methods = {name: self._answering(name, answer) for name, answer in answers.items()}
        for name, change in CHANGES.items():
            methods[name] = self._changing(name, change)
        methods["ModelInfer"] = grpc.stream_unary_rpc_method_handler(
            self.model_infer, None, pb.ModelInferResponse.SerializeToString
        )
        methods["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
            self.model_stream_infer, None, pb.ModelStreamInferResponse.SerializeToString
        )
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def model_infer(self, _requests: object, context: "Context[Any, Any]") -> pb.ModelInferResponse:
        arrived = time.monotonic()
        await self._scoring.enter(context)
        try:
            request = await self._scoring.read(
                context, lambda message: read_request(message, self._core.bundles, arrived, until(context))
            )
            items = request.items(called(context, SERVICE, "ModelInfer"))
            count = self._statistics.of(request.bundle)
            try:
                outcomes = await asyncio.gather(*(self._bridge.score(item) for item in items))
            except BaseException:
                count.failed(time.monotonic() - arrived)
                raise
        except AssayError as error:
            await self._scoring.fail(context, error)
        if refusal := common_refusal(outcomes):
            count.failed(time.monotonic() - arrived)
            await self._scoring.refuse(context, refusal)
        count.answered(outcomes, time.monotonic() - arrived)
        return write_response(request, tensors_of(request, outcomes), version_of(request, outcomes))

    async def model_stream_infer(self, _requests: object, context: "Context[Any, Any]") -> None:
        await self._scoring.stream(
            context,
            lambda: InferStream(
                self._core, self._bridge, self._scoring.turns, context, self._window, self._statistics
            ),
        )

    def _answering(self, name: str, answer: Callable[[Any], Message]) -> "grpc.RpcMethodHandler[Any, Any]":
        """A call that asks about the server or its models."""

        async def call(request: Message, context: "Context[Any, Any]") -> Message:
            try:
                return answer(request)
            except SetupError as error:
                await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
                raise AssertionError("abort always raises") from error

        asked: type[Message] = getattr(pb, f"{name}Request")
        told: type[Message] = getattr(pb, f"{name}Response")
        return grpc.unary_unary_rpc_method_handler(call, asked.FromString, told.SerializeToString)

    def _changing(
        self, name: str, change: Callable[[Operations, str], Future[None]]
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        """An operator's call, which changes what is served."""
        asked: type[Message] = getattr(pb, f"{name}Request")
        told: type[Message] = getattr(pb, f"{name}Response")

        async def call(request: Any, context: "Context[Any, Any]") -> Message:
            if self.control is None or self.control.repository is None:
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, about.NO_CONTROL)
                raise AssertionError("abort always raises")
            if name == "RepositoryModelLoad" and len(UnknownFieldSet(request)):
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, about.NO_PARAMETERS)
            try:
                await asyncio.wrap_future(change(self.control, request.model_name))
            except EngineFault as error:
                await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
            except AssayError as error:
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            return told()

        return grpc.unary_unary_rpc_method_handler(call, asked.FromString, told.SerializeToString)

    def _is_ready(self) -> bool:
        return self.ready and self._core.serving

    def _find(self, name: str, version: str) -> Bundle:
        return models.find_model(self._core.bundles, name, version)

    def _model_ready(self, request: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        self._find(request.name, request.version)
        return pb.ModelReadyResponse(ready=self._is_ready())

    def _model_metadata(self, request: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
        bundle = self._find(request.name, request.version)
        return ParseDict(about.metadata(bundle), pb.ModelMetadataResponse())

    def _model_config(self, request: pb.ModelConfigRequest) -> pb.ModelConfigResponse:
        bundle = self._find(request.name, request.version)
        return ParseDict({"config": about.config(bundle)}, pb.ModelConfigResponse())

    def _model_statistics(self, request: pb.ModelStatisticsRequest) -> pb.ModelStatisticsResponse:
        if request.name:
            bundles: Iterable[Bundle] = [self._find(request.name, request.version)]
        else:
            bundles = self._core.bundles.values()
        stats = [about.statistics(bundle, self._statistics.total(bundle)) for bundle in bundles]
        return ParseDict({"model_stats": stats}, pb.ModelStatisticsResponse())

    def _repository_index(self, request: pb.RepositoryIndexRequest) -> pb.RepositoryIndexResponse:
        models = about.index(self._core.bundles, self.control, request.ready)
        return ParseDict({"models": models}, pb.RepositoryIndexResponse())
