"""Prefect's server, reachable only for those who should: `python -m pipelines.processes.prefect_app --port 4200`.

A web page that is open in a browser on this machine can send requests to every local port. So the server

- needs a password (PREFECT_SERVER_API_AUTH_STRING),
- answers only to its own names in `Host`, which stops pages that point their own name at this machine,
- refuses requests of pages of other origins, and changes without a CSRF token.

Prefect reads its settings from the environment; `protection` returns them.

References:
    https://docs.prefect.io/v3/advanced/security-settings
"""

import argparse
from collections.abc import Sequence
from typing import Any

#: Path that answers 200 once the server is ready.
READY = "/api/health"
#: Requests in progress may finish for this long.
STOP_GRACE_S = 5


def protection(password: str, origins: Sequence[str]) -> dict[str, str]:
    """The environment of a protected server.

    Args:
        password: `user:password`.
        origins: the addresses at which people open its pages, such as `http://127.0.0.1:4200`.
    """
    return {
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(origins),
    }


class RefuseForeignOrigins:
    """ASGI middleware: answers 403 to requests of web pages of other origins, websockets included."""

    def __init__(self, app: Any, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        origin = dict(scope.get("headers", ())).get(b"origin")
        if origin is None or origin in self._origins:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": b"Requests of this origin are refused."})


def create_app(hosts: Sequence[str], *, temporary: bool) -> Any:
    """Prefect's application behind the checks of `Host` and `Origin`.

    Args:
        hosts: names in `Host`, without a port.
        temporary: without pages, schedules and other services, for one run of a flow.
    """
    from prefect.server.api.server import create_app as create_prefect_app
    from prefect.settings import PREFECT_SERVER_CORS_ALLOWED_ORIGINS
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = create_prefect_app(ephemeral=temporary, final=True)
    origins = [origin for origin in PREFECT_SERVER_CORS_ALLOWED_ORIGINS.value().split(",") if origin != "*"]
    app.add_middleware(RefuseForeignOrigins, origins=origins)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    return app


def main() -> None:
    """Run the server until it is stopped."""
    import uvicorn

    parser = argparse.ArgumentParser(description="Run a protected Prefect server.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--allowed-host", action="append", default=[], help="a further name in Host")
    parser.add_argument("--temporary", action="store_true", help="without pages and schedules")
    chosen = parser.parse_args()
    hosts = ["127.0.0.1", "localhost", *chosen.allowed_host]
    uvicorn.run(
        create_app(hosts, temporary=chosen.temporary),
        host=chosen.host,
        port=chosen.port,
        log_level="error" if chosen.temporary else "info",
        timeout_graceful_shutdown=STOP_GRACE_S,
    )


if __name__ == "__main__":
    main()
