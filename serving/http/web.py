"""The application that BentoML mounts: it runs the handler of each admitted request in the pool of its route."""

from collections.abc import Sequence
from functools import partial

from starlette.responses import Response

from core.errors import AuthenticationError
from serving.contract.errors import response_to
from serving.endpoints.route import Call, Route
from serving.http.admission import CALL, ROUTE, App, Scope, Send
from serving.http.routes import ROUTES
from serving.http.signatures import require_signature
from serving.http.sns import admit_sns
from serving.state.limits import Receive
from serving.state.runtime import Runtime
from serving.state.work import Batcher


def web_app(runtime: Runtime, routes: Sequence[Route] = ROUTES) -> App:
    """The ASGI application behind admission, which leaves the route and the call in the scope."""
    batchers = {
        route.path: Batcher[Call, Response](
            runtime.pools[route.lane],
            partial(route.batching.run, runtime),
            route.batching.weigh,
            most=route.batching.most,
        )
        for route in routes
        if route.batching is not None
    }

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        route: Route = scope[ROUTE]
        call: Call = scope[CALL]
        try:
            require_signature(runtime.settings, scope, call)
        except AuthenticationError as error:
            await response_to(error)(scope, receive, send)
            return
        answered = await admit_sns(runtime, call)
        if answered is not None:
            await answered(scope, receive, send)
            return
        batcher = batchers.get(route.path)
        if batcher is not None:
            response = await batcher.submit(call)
        else:
            response = await runtime.pools[call.lane or route.lane].run(partial(route.run, runtime, call))
        await response(scope, receive, send)

    return app
