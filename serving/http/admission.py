"""The door: what passes it has a tenant, a rate, a bounded body and a validated request.

In order: the path exists, the key is good, the tenant's rate is kept, the body is of the right kind and not
too large, and it is what the route's schema says. Everything else is answered here, as one sentence, so the
endpoints behind never see bad input, and BentoML's own parsing, which coerces and logs, is never reached.
"""

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.responses import Response

from core.errors import AuthenticationError, ForewarnError, InputError
from serving.contract.errors import RefusedError, error_response, readable, response_to, sentence_of
from serving.http.routes import JSON, PROTOBUF, Route, route_of
from serving.state.api_keys import key_from
from serving.state.limits import Message, Receive, read_body, require_rate
from serving.state.runtime import Runtime

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_logger = logging.getLogger("forewarn.serving")
_access = logging.getLogger("forewarn.access")

Asked = TypeVar("Asked", bound=BaseModel)

#: Where the door leaves what it found, in the ASGI scope.
CALL = "forewarn.call"


@dataclass(frozen=True, slots=True)
class Call:
    """A request that passed: whose it is and what it asks.

    Attributes:
        tenant: null on public routes without a key.
        request: the validated body; null when the route takes none.
    """

    tenant: str | None
    request: BaseModel | None

    @property
    def holder(self) -> str:
        """The tenant, on a route that the door lets nobody through without one."""
        if self.tenant is None:
            raise RuntimeError("a route that speaks of a tenant was reached without one")
        return self.tenant

    def asked(self, kind: type[Asked]) -> Asked:
        """The body, as what the route's schema made of it."""
        if not isinstance(self.request, kind):
            raise TypeError(f"this route takes {kind.__name__}, not {type(self.request).__name__}")
        return self.request


class Admission:
    """ASGI middleware around the whole service."""

    def __init__(self, app: App, runtime: Runtime) -> None:
        self._app = app
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = HTTPStatus.INTERNAL_SERVER_ERROR.value
        headers_sent = False
        route: Route | None = None
        tenant: str | None = None

        async def counting_send(message: Message) -> None:
            nonlocal status, headers_sent
            if message["type"] == "http.response.start":
                status = message["status"]
                headers_sent = True
            await send(message)

        try:
            route = route_of(scope["method"], scope["path"])
            call = await self._admit(route, scope, receive)
            tenant = call.tenant
            scope[CALL] = call
            with self._runtime.metrics.in_progress.track_inprogress():
                await self._app(
                    scope, _after_body(receive) if route.method == "POST" else receive, counting_send
                )
        except ForewarnError as error:
            await response_to(error)(scope, receive, counting_send)
        except Exception:
            # The last resort: what ends here is a bug of ours, whatever was sent, and keeps its trace.
            _logger.exception("unexpected failure of %s", route.path if route else "an unknown path")
            if headers_sent:
                raise
            await _internal_error()(scope, receive, counting_send)
        finally:
            seconds = time.perf_counter() - started
            path = route.path if route else "unknown"
            self._runtime.metrics.observe(scope["method"] if route else "other", path, status, seconds)
            if route is None or not route.public:
                # The path only: a query string may hold what a log must not.
                _access.info(
                    "%s %s %d %.1f ms tenant=%s",
                    scope["method"],
                    readable(scope["path"][:200]),
                    status,
                    1_000 * seconds,
                    tenant or "-",
                )

    async def _admit(self, route: Route, scope: Scope, receive: Receive) -> Call:
        headers = Headers(raw=scope["headers"])
        tenant = await self._tenant(route, headers)
        if tenant is not None:
            require_rate(self._runtime.limiter, tenant)
        if route.request is None:
            return Call(tenant, None)
        _require_type(headers, route.media_type)
        limit = self._runtime.settings.max_body_bytes
        body = await read_body(receive, headers.get("content-length"), limit)
        if route.media_type == JSON:
            return Call(tenant, parsed(route.request, body))
        return Call(tenant, route.request.model_validate(body))

    async def _tenant(self, route: Route, headers: Headers) -> str | None:
        try:
            key = key_from(headers.get("authorization"), headers.get("x-api-key"))
        except AuthenticationError:
            if route.public:
                return None
            raise
        if route.public and route.path != "/metrics":
            return None
        return await self._runtime.keys.tenant_of(key)


def parsed(kind: type[BaseModel], body: bytes) -> BaseModel:
    """The body as that kind of request.

    Raises:
        InputError: it is not JSON, or not what the schema says; the text names the first problem.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise InputError(sentence_of(error)) from None


def _require_type(headers: Headers, wanted: str) -> None:
    given, _, parameters = headers.get("content-type", wanted).partition(";")
    parameters = parameters.strip().lower()
    encoding = headers.get("content-encoding", "identity").lower()
    problem = None
    if given.strip().lower() != wanted:
        problem = f"the body should be {wanted}, not {readable(given.strip()[:80])}"
    elif wanted == PROTOBUF and encoding != "snappy":
        problem = "the body should be compressed with snappy"
    elif wanted == PROTOBUF and parameters not in ("", "proto=prometheus.writerequest"):
        problem = "the body should be a WriteRequest of remote_write version 1"
    elif wanted == JSON and parameters.removeprefix("charset=").strip('"') not in ("", "utf-8", "utf8"):
        problem = "the body should be UTF-8"
    elif wanted == JSON and encoding != "identity":
        problem = "the body should be sent without compression"
    if problem is not None:
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, problem)


def _after_body(receive: Receive) -> Receive:
    """What the application behind reads: nothing more, for the body was taken here."""
    told = False

    async def rest() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return rest


def _internal_error() -> Response:
    return error_response(
        HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong on our side; the service's log says what"
    )
