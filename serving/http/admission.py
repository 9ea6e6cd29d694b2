"""Admission: each request is checked before an endpoint sees it.

The checks, in order: the path exists, the key is valid, the tenant keeps its rate, the body has the right type and is
not too large, and it fits the schema of the route. A request that fails gets an error of one sentence from here. So
endpoints never get bad input. A response that takes too long, or an unexpected failure, gets an error from here too.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response

from core.errors import AuthenticationError, ForewarnError, InputError
from core.intake import PriorityLane
from serving.contract.errors import RefusedError, error_response, readable, response_to, sentence_of
from serving.contract.limits import MAX_VALUES, MOST_VALUES
from serving.endpoints.route import JSON, Call, Route
from serving.http.routes import ROUTES, RouteTable
from serving.state.api_keys import key_from
from serving.state.intake import BUSY, STOPPING, TIMEOUT, Arrival, Receipt
from serving.state.limits import Lease, Message, Receive, read_body, require_rate
from serving.state.runtime import Runtime

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_logger = logging.getLogger("forewarn.serving")
_access = logging.getLogger("forewarn.access")

#: Where admission leaves the route and the call, in the ASGI scope.
ROUTE = "forewarn.route"
CALL = "forewarn.call"
#: A request that takes longer gets a 503. The timeout of BentoML is longer, so its own error never reaches a client.
REQUEST_TIMEOUT_S = 30.0
#: Larger bodies are parsed in a thread; the event loop parses this much in about a millisecond.
PARSE_AT_ONCE_BYTES = 16_384


class Admission:
    """ASGI middleware around the whole service."""

    def __init__(
        self,
        app: App,
        runtime: Runtime,
        routes: Sequence[Route] = ROUTES,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self._app = app
        self._runtime = runtime
        self._routes = RouteTable(routes)
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return
        memory: Lease | None = None
        arrival: Arrival | None = None
        call: Call | None = None
        problem: str | None = None
        started = time.perf_counter()
        status = HTTPStatus.INTERNAL_SERVER_ERROR.value
        headers_sent = False
        route: Route | None = None

        async def counting_send(message: Message) -> None:
            nonlocal status, headers_sent
            if message["type"] == "http.response.start":
                status = message["status"]
                headers_sent = True
            await send(message)

        def in_form(error: Response) -> Response:
            return error if route is None else route.error(error, _media_type(scope, route))

        try:
            route = self._routes.find(scope["method"], scope["path"])
            memory = self._runtime.bodies_of(route.lane).lease()
            if route.source and isinstance(route.lane, PriorityLane):
                arrival = self._runtime.metrics.intake.arrival(route.lane, route.source)
            async with asyncio.timeout(self._timeout_s):
                call = await self._admit(route, scope, receive, memory, arrival)
                scope.update({ROUTE: route, CALL: call})
                with self._runtime.metrics.in_progress.track_inprogress():
                    await self._respond(route, scope, receive, counting_send)
        except ForewarnError as error:
            if isinstance(error, RefusedError) and error.status is HTTPStatus.SERVICE_UNAVAILABLE:
                problem = BUSY
            await in_form(response_to(error))(scope, receive, counting_send)
        except asyncio.CancelledError:
            problem = STOPPING
            # The service stops, and the time that running requests have to finish is over.
            if not headers_sent:
                await in_form(_stopping())(scope, receive, counting_send)
            raise
        except TimeoutError:
            problem = TIMEOUT
            if headers_sent:
                raise
            await in_form(_too_slow(self._timeout_s))(scope, receive, counting_send)
        except Exception:
            # An exception that gets here is a bug of ours, whatever the client sent. Log its traceback.
            _logger.exception("unexpected failure of %s", route.path if route else "an unknown path")
            if headers_sent:
                raise
            await in_form(_internal_error())(scope, receive, counting_send)
        finally:
            if memory is not None:
                memory.release()
            if arrival is not None:
                arrival.finish(status, problem, Receipt() if call is None else call.receipt)
            seconds = time.perf_counter() - started
            path = route.path if route else "unknown"
            self._runtime.metrics.observe(scope["method"] if route else "other", path, status, seconds)
            if route is None or not route.public:
                # Log the path only: a query string may contain secrets.
                _access.info(
                    "%s %s %d %.1f ms tenant=%s",
                    scope["method"],
                    readable(scope["path"][:200]),
                    status,
                    1_000 * seconds,
                    (call.tenant if call else None) or "-",
                )

    async def _respond(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        if route.probe is not None:
            response = await route.probe(self._runtime)
            await response(scope, receive, send)
            return
        await self._app(scope, _without_body(receive) if route.method == "POST" else receive, send)

    async def _admit(
        self, route: Route, scope: Scope, receive: Receive, memory: Lease, arrival: Arrival | None
    ) -> Call:
        headers = Headers(raw=scope["headers"])
        tenant = await self._tenant(route, headers)
        if arrival is not None:
            arrival.tenant = tenant
        if tenant is not None:
            # A flood in one priority lane must not use up the rate of another.
            of_lane = f" {route.lane}" if isinstance(route.lane, PriorityLane) else ""
            require_rate(self._runtime.limiter, f"{tenant}{of_lane}")
        if route.request is None:
            return Call(tenant, None)
        if not route.has_body:
            _require_utf8(scope["query_string"])
            return Call(tenant, parsed_query(route.request, QueryParams(scope["query_string"])))
        media_type, compression, message = _sent_as(headers, route)
        limit = self._runtime.settings.max_body_bytes
        memory.owner = tenant
        body = await read_body(receive, headers.get("content-length"), limit, memory)
        if arrival is not None:
            arrival.complete()
        if route.media_type != JSON:
            if arrival is not None:
                arrival.admit(None)
            return Call(tenant, route.request.model_validate(body), media_type, compression, message)
        if len(body) <= PARSE_AT_ONCE_BYTES:
            request, lane = _parsed_with_lane(route, route.request, body)
        else:
            parse = partial(_parsed_with_lane, route, route.request, body)
            request, lane = await self._runtime.parsing(route.lane).run(parse)
        if arrival is not None:
            arrival.admit(lane)
        return Call(tenant, request, lane=lane)

    async def _tenant(self, route: Route, headers: Headers) -> str | None:
        try:
            key = key_from(headers.get("authorization"), headers.get("x-api-key"))
        except AuthenticationError:
            if route.public:
                return None
            raise
        if route.public and not route.optional_key:
            return None
        return await self._runtime.keys.tenant_of(key)


def _parsed_with_lane(
    route: Route, kind: type[BaseModel], body: bytes
) -> tuple[BaseModel, PriorityLane | None]:
    """The request, and its lane where that depends on the body."""
    request = parsed(kind, body)
    return request, None if route.lane_of is None else route.lane_of(request)


def parsed(kind: type[BaseModel], body: bytes) -> BaseModel:
    """The body as a request of that type.

    Raises:
        InputError: the body is not JSON, or does not fit the schema; the text names the first problem.
        RefusedError: 413, because the body holds too many values.
    """
    _require_few_values(body, MAX_VALUES.get(kind, MOST_VALUES))
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise InputError(sentence_of(error)) from None


def parsed_query(kind: type[BaseModel], params: QueryParams) -> BaseModel:
    """The query string as a request of that type.

    Raises:
        InputError: a parameter is unknown, is given twice, or has a wrong value.
    """
    pairs = params.multi_items()
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name}: is given more than once")
    try:
        return kind.model_validate(dict(pairs))
    except ValidationError as error:
        raise InputError(sentence_of(error)) from None


def _require_few_values(body: bytes, most: int) -> None:
    """Refuse a body that would take long to check, before it is parsed. Each value but the first follows a comma."""
    values = body.count(b",") + 1
    if values > most:
        raise RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body holds about {values} values, and at most {most} are accepted; send it in parts",
        )


def _require_utf8(query: bytes) -> None:
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        raise InputError("the query string should be UTF-8, with percent-encoding") from None


def _media_type(scope: Scope, route: Route) -> str:
    """Type of the body as it was sent, without its parameters."""
    given = Headers(raw=scope["headers"]).get("content-type", route.media_type)
    return given.partition(";")[0].strip().lower()


def _sent_as(headers: Headers, route: Route) -> tuple[str, str, str]:
    """Type and compression of a body, and the name of its message.

    Raises:
        RefusedError: 415, because the route does not take them.
    """
    given, _, parameters = headers.get("content-type", route.media_type).partition(";")
    media_type, parameters = given.strip().lower(), parameters.strip().lower()
    compression = headers.get("content-encoding", "identity").strip().lower()
    message = _message(parameters, route)
    problem = None
    if media_type not in route.media_types:
        wanted = " or ".join(route.media_types)
        problem = f"the body should be {wanted}, not {readable(given.strip()[:80])}"
    elif compression not in route.compressions:
        problem = _wrong_compression(route)
    elif message is None:
        problem = f"the message in the body should be {' or '.join(route.messages)}"
    elif media_type == JSON and parameters.removeprefix("charset=").strip('"') not in ("", "utf-8", "utf8"):
        problem = "the body should be UTF-8"
    if problem is not None:
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, problem)
    return media_type, compression, message or ""


def _message(parameters: str, route: Route) -> str | None:
    """The message that the parameters of the Content-Type name; null: the route does not take it.

    Args:
        parameters: in lower case; parameters besides `proto` mean nothing.
    """
    if not route.messages:
        return ""
    pairs = [one.partition("=") for one in parameters.split(";")]
    named = [value.strip().strip('"') for name, _, value in pairs if name.strip() == "proto"]
    if not named:
        return route.messages[0]
    return next((one for one in route.messages if one.lower() == named[0]), None)


def _wrong_compression(route: Route) -> str:
    used = [one for one in route.compressions if one != "identity"]
    if not used:
        return "the body should be sent without compression"
    names = " or ".join(used)
    if "identity" in route.compressions:
        return f"the body should be compressed with {names}, or not at all"
    return f"the body should be compressed with {names}"


def _without_body(receive: Receive) -> Receive:
    """For the application: an empty body, because admission has read the body."""
    sent = False

    async def rest() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return rest


def _too_slow(timeout_s: float) -> Response:
    return error_response(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"the request took longer than {timeout_s:g} s; send less at once, or try again in 5 s",
        {"Retry-After": "5"},
    )


def _stopping() -> Response:
    return error_response(
        HTTPStatus.SERVICE_UNAVAILABLE, "the service is stopping; try again in 5 s", {"Retry-After": "5"}
    )


def _internal_error() -> Response:
    return error_response(
        HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed unexpectedly; its log has the details"
    )
