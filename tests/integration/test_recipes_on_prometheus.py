"""A real Prometheus scrapes the pages of all exporters and computes each recipe."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import isfinite, isnan
from pathlib import Path
from threading import Thread

import pytest
from exporter_pages import PAGES
from servers.prometheus import missing_programs, prometheus

from models.metrics.promql import query_of
from models.metrics.recipe import Recipe
from pipelines.sources.prometheus_api import PrometheusApi
from pipelines.sources.recipe_files import read_exporters

pytestmark = pytest.mark.skipif(
    bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}"
)

WINDOW_S = 60
#: Two scrapes, a second apart, and some time for a busy machine.
PATIENCE_S = 30
RECIPES = [recipe for exporter in read_exporters() for recipe in exporter.recipes]


def grown(page: str, factor: float) -> str:
    """The page some time later: its counters have grown."""
    lines, kind = [], ""
    for line in page.splitlines():
        if line.startswith("# TYPE "):
            kind = line.rpartition(" ")[2]
        elif line and not line.startswith("#") and kind != "gauge":
            series, _, value = line.rpartition(" ")
            line = f"{series} {float(value) * factor!r}"
        lines.append(line)
    return "\n".join(lines) + "\n"


@contextmanager
def served(page: str) -> Iterator[str]:
    """`host:port` of an exporter with this page."""
    start = time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = grown(page, 1 + (time.monotonic() - start) / 1000).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Requests are no news."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusApi]:
    """A Prometheus that has scraped each page at least twice."""
    folder: Path = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        targets = {path.stem: stack.enter_context(served(path.read_text())) for path in PAGES.glob("*.prom")}
        api = PrometheusApi(stack.enter_context(prometheus(folder, targets)))
        stack.enter_context(api.connected())
        until = time.monotonic() + PATIENCE_S
        while scraped_twice(api) < len(targets):
            assert time.monotonic() < until, (
                f"only {scraped_twice(api)} of {len(targets)} pages were scraped twice"
            )
            time.sleep(0.2)
        yield api


def scraped_twice(api: PrometheusApi) -> int:
    return len(values(api, f"count_over_time(scrape_samples_scraped[{WINDOW_S}s]) > 1"))


def values(api: PrometheusApi, query: str) -> list[float]:
    """The present value of each series of a query."""
    now = time.time()
    return [float(one["values"][-1][1]) for one in api.query_range(query, now, now, 1)]


@pytest.mark.parametrize("recipe", RECIPES, ids=[f"{n}-{one.signal}" for n, one in enumerate(RECIPES)])
def test_prometheus_computes_the_recipe_from_the_page_of_the_exporter(
    api: PrometheusApi, recipe: Recipe
) -> None:
    query = query_of(recipe, WINDOW_S)
    found = values(api, query)
    if not found:  # divided by nothing, as on a host without swap
        found = values(api, query.replace("!= 0)", ">= 0)"))
        assert not any(map(isfinite, found))
    assert found
    if recipe.unit == "ratio":
        assert all(isnan(value) or 0 <= value <= 1 for value in found)
