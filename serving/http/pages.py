"""The web pages: the console, the API docs, and the files that they load."""

from collections.abc import Mapping
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

from starlette.responses import FileResponse, Response

from serving.endpoints.route import Call, Route
from serving.state.runtime import Runtime
from serving.state.work import Lane

#: The pages load nothing from other hosts and cannot be framed.
_PAGE_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def _console_file(name: str, runtime: Runtime, call: Call) -> Response:
    kind = "text/javascript" if name.endswith(".js") else "text/html"
    return Response(_text(name), media_type=kind, headers=_PAGE_HEADERS)


@cache
def _text(name: str) -> str:
    return (files("serving") / "console" / name).read_text(encoding="utf-8")


def _swagger_file(name: str, runtime: Runtime, call: Call) -> Response:
    """A file of Swagger UI as BentoML ships it. BentoML's own page with it calls an analytics service."""
    import bentoml

    folder = Path(bentoml.__file__).parent / "_internal" / "server" / "static_content"
    return FileResponse(folder / name, headers=_PAGE_HEADERS)


CONSOLE_ROUTE = Route(
    method="GET",
    path="/",
    summary="Show the console.",
    handler=partial(_console_file, "console.html"),
    lane=Lane.PAGES,
    public=True,
)
DOCS_ROUTE = Route(
    method="GET",
    path="/docs",
    summary="Show this API, with forms to try it.",
    handler=partial(_console_file, "docs.html"),
    lane=Lane.PAGES,
    public=True,
)
#: The files that the pages load; they are not part of the API.
FILE_ROUTES = tuple(
    Route(method="GET", path=path, summary="A file of a page.", handler=handler, lane=Lane.PAGES, public=True)
    for path, handler in {
        "/console.js": partial(_console_file, "console.js"),
        "/docs/start.js": partial(_console_file, "docs.js"),
        "/docs/swagger-ui.css": partial(_swagger_file, "swagger-ui.css"),
        "/docs/swagger-ui-bundle.js": partial(_swagger_file, "swagger-ui-bundle.js"),
    }.items()
)
