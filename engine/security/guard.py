"""One check before every gRPC call, of whichever service: a token that is known and within its rate."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from assay.engine.security.tokens import Denied, Throttled, Token, Tokens

OPEN = "/grpc.health.v1.Health/"
"""Probes have no token."""


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Refuses before a request is read. What a stream sends over its rate waits; other calls are told when to
    try again (`grpc-retry-pushback-ms`)."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        if handler_call_details.method.startswith(OPEN):
            return await continuation(handler_call_details)
        metadata = dict(handler_call_details.invocation_metadata or ())
        try:
            authorization = metadata.get("authorization")
            token = self._tokens.find(authorization if isinstance(authorization, str) else None)
            self._tokens.spend(token)
        except Denied:
            return _refusal(grpc.StatusCode.UNAUTHENTICATED, "a bearer token that is known is needed")
        except Throttled as throttled:
            hint = ("grpc-retry-pushback-ms", str(int(throttled.seconds * 1000) + 1))
            return _refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, str(throttled), hint)
        handler = await continuation(handler_call_details)
        if handler is None or not handler.request_streaming or not handler.response_streaming:
            return handler
        return grpc.stream_stream_rpc_method_handler(
            self._paced(handler.stream_stream, token),
            handler.request_deserializer,
            handler.response_serializer,
        )

    def _paced(self, behaviour: Callable[..., Any], token: Token) -> Callable[..., Any]:
        """`behaviour` of a stream, read no faster than its token allows, by its iterator or its context."""

        async def iterate(requests: Any) -> AsyncIterator[Any]:
            async for request in requests:
                await asyncio.sleep(self._tokens.reserve(token))
                yield request

        def call(requests: Any, context: Any) -> Any:
            return behaviour(iterate(requests), _Paced(context, lambda: self._tokens.reserve(token)))

        if inspect.isasyncgenfunction(behaviour):

            async def generate(requests: Any, context: Any) -> AsyncIterator[Any]:
                async for response in call(requests, context):
                    yield response

            return generate

        async def answer(requests: Any, context: Any) -> Any:
            return await call(requests, context)

        return answer


class _Paced:
    """A call's context whose messages come no faster than allowed."""

    def __init__(self, context: Any, reserve: Callable[[], float]) -> None:
        self._context = context
        self._reserve = reserve

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        message = await self._context.read()
        if message is not grpc.aio.EOF:  # type: ignore[attr-defined]
            await asyncio.sleep(self._reserve())
        return message


def _refusal(status: grpc.StatusCode, detail: str, *hints: tuple[str, str]) -> Any:
    async def refuse(_requests: Any, context: Any) -> None:
        await context.abort(status, detail, hints)

    # As a stream, whatever the method is: then the request is not waited for.
    return grpc.stream_stream_rpc_method_handler(refuse)
