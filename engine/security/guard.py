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
        """`behaviour` of a stream, read by its iterator or its context as its token allows."""

        async def generate(requests: Any, context: Any) -> AsyncIterator[Any]:
            pace = _Pace(self._tokens, token)
            async for response in behaviour(_iterate(requests, pace), _Paced(context, pace)):
                yield response
            await pace.end(context)

        async def answer(requests: Any, context: Any) -> None:
            pace = _Pace(self._tokens, token)
            await behaviour(_iterate(requests, pace), _Paced(context, pace))
            await pace.end(context)

        return generate if inspect.isasyncgenfunction(behaviour) else answer


class _Pace:
    """Of one stream: its messages come no faster than its token allows, and none once the token is gone."""

    def __init__(self, tokens: Tokens, token: Token) -> None:
        self._tokens = tokens
        self._token = token
        self._denied = False

    async def admit(self) -> bool:
        """Waits for the turn of a message -> whether it may be taken; otherwise the input has ended."""
        try:
            wait = self._tokens.reserve(self._token)
        except Denied:
            self._denied = True
            return False
        await asyncio.sleep(wait)
        return True

    async def end(self, context: Any) -> None:
        """What came before is answered: a stream whose token is gone must not end as if all were."""
        if self._denied:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token of this stream is gone")


class _Paced:
    """A call's context whose messages come as `pace` admits them."""

    def __init__(self, context: Any, pace: _Pace) -> None:
        self._context = context
        self._pace = pace

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        message = await self._context.read()
        end = grpc.aio.EOF  # type: ignore[attr-defined]
        return message if message is end or await self._pace.admit() else end


async def _iterate(requests: Any, pace: _Pace) -> AsyncIterator[Any]:
    async for request in requests:
        if not await pace.admit():
            return
        yield request


def _refusal(status: grpc.StatusCode, detail: str, *hints: tuple[str, str]) -> Any:
    async def refuse(_requests: Any, context: Any) -> None:
        await context.abort(status, detail, hints)

    # As a stream, whatever the method is: then the request is not waited for.
    return grpc.stream_stream_rpc_method_handler(refuse)
