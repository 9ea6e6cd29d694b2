"""Limits of servers, in the words of each vendor: a query is made smaller until the server accepts it."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import polars as pl
import pytest

from core.batch import Batch
from core.clock import FixedClock
from core.errors import InputError, UnavailableError
from pipelines.sources.prometheus import PrometheusSource, Selection
from pipelines.sources.prometheus_api import PrometheusApi, is_too_large

NOW = datetime(2026, 3, 2, 12, 0, 30, tzinfo=UTC)
POINTS = 60

TIME_LIMITS = [
    # Prometheus
    (422, "query processing would load too many samples into memory in query execution"),
    (400, "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution"),
    (503, "query timed out in expression evaluation"),
    # Thanos
    (
        422,
        "rpc error: code = ResourceExhausted desc = exceeded samples limit: limit 1000 violated (got 2000)",
    ),
    (500, "exceeded chunks limit: limit 10 violated (got 12)"),
    (504, "context deadline exceeded"),
    # Cortex
    (400, "the query time range exceeds the limit (query length: 721h0m0s, limit: 720h0m0s)"),
    (422, "the query hit the max number of chunks limit (limit: 2000000 chunks)"),
    (500, "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (5 vs. 4)"),
    # Mimir and Grafana Cloud
    (
        422,
        "the query exceeded the aggregated chunks size limit (err-mimir-max-chunks-bytes-per-query)",
    ),
    (422, "the total query time range exceeds the limit (err-mimir-max-total-query-length). See the docs."),
    (422, "the query exceeded the maximum allowed estimated amount of memory consumed by a single query"),
    # VictoriaMetrics
    (422, "cannot select more than -search.maxSamplesPerQuery=1000000000 samples; possible solutions: ..."),
    (422, "too many points for the given step=60000; cannot exceed -search.maxPointsPerTimeseries=30000"),
    (422, "not enough memory for processing 123 data points across 4 time series"),
    (503, "timeout exceeded during query execution: -search.maxQueryDuration=30s"),
    # others
    (413, "request entity too large"),
    (422, "Maximum query samples has been reached"),
    (422, "die Abfrage ist zu umfangreich"),
]
SERIES_LIMITS = [
    (
        422,
        "the query exceeded the maximum number of series (err-mimir-max-series-per-query). Reduce the time range",
    ),
    (422, "the query hit the max number of series limit (limit: 500 series)"),
    (422, "exceeded series limit: limit 10 violated (got 11)"),
    (
        422,
        "the number of matching timeseries exceeds 300000; or increase -search.maxUniqueTimeseries",
    ),
    (422, "the response contains more than -search.maxResponseSeries=5 time series: 9 series"),
]
NO_LIMITS = [
    (400, 'invalid parameter "query": 1:8: parse error: unexpected "limit"'),
    (401, "limit"),
    (404, "404 page not found"),
    (422, "the query is blocked by a rule (err-mimir-query-blocked)"),
    (429, "too many requests, limit 10"),
    (
        429,
        "the request has been rejected: tenant exceeded the request rate limit (err-mimir-tenant-max-request-rate)",
    ),
    (503, "couldn't start the request in 10s, since -search.maxConcurrentRequests=8; increase the limit"),
    (503, "too many outstanding requests"),
    (503, "Service Unavailable"),
    (500, "internal error"),
]


@pytest.mark.parametrize(("status", "reason"), TIME_LIMITS + SERIES_LIMITS)
def test_limits_are_known_in_the_words_of_all_vendors(status: int, reason: str) -> None:
    assert is_too_large(status, reason)


@pytest.mark.parametrize(("status", "reason"), NO_LIMITS)
def test_other_errors_are_no_limits(status: int, reason: str) -> None:
    assert not is_too_large(status, reason)


@dataclass
class LimitedServer:
    """A Prometheus with metrics of some series, which refuses a range query that `refuses`.

    Attributes:
        series: metric -> paths, one series each.
        refuses: gets metric, paths and points of a query; returns status and text, or null.
    """

    series: dict[str, list[str]]
    refuses: Callable[[str, list[str], int], tuple[int, str] | None]
    queries: list[tuple[str, int]] = field(default_factory=list)
    url: str = ""

    def paths_of(self, selector: str) -> tuple[str, list[str]]:
        metric = re.findall(r'__name__="([^"]*)"', selector)[0]
        paths = self.series[metric]
        for operator, pattern in re.findall(r'path(=~|!~)("(?:[^"\\]|\\.)*")', selector):
            keep = operator == "=~"
            paths = [one for one in paths if bool(re.fullmatch(json.loads(pattern), one)) is keep]
        return metric, paths

    def respond(self, path: str, form: dict[str, str]) -> tuple[int, Any]:
        if path == "/api/v1/metadata":
            return 200, {}
        if path == "/api/v1/targets":
            return 404, None
        if path == "/api/v1/label/__name__/values":
            return 200, list(self.series)
        if path == "/api/v1/labels":
            return 200, ["__name__", "job", "path"]
        if path.startswith("/api/v1/label/"):
            _, paths = self.paths_of(form["match[]"])
            return 200, paths if "/path/" in path else ["shop"]
        metric, paths = self.paths_of(form["query"])
        start, end, step = (int(float(form[name])) for name in ("start", "end", "step"))
        times = list(range(start, end + 1, step))
        self.queries.append((metric, len(times)))
        if (refusal := self.refuses(metric, paths, len(times))) is not None:
            return refusal
        result = [
            {"metric": {"job": "shop", "path": one}, "values": [[at, "1"] for at in times]} for one in paths
        ]
        return 200, {"resultType": "matrix", "result": result}


@pytest.fixture
def serve() -> Iterator[Callable[[LimitedServer], PrometheusSource]]:
    running: list[ThreadingHTTPServer] = []

    def start(server: LimitedServer) -> PrometheusSource:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                self._respond(unquote(parts.path), parse_qs(parts.query))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self._respond(urlsplit(self.path).path, parse_qs(body))

            def _respond(self, path: str, form: dict[str, list[str]]) -> None:
                status, data = server.respond(path, {name: one[0] for name, one in form.items()})
                body = json.dumps({"data": data} if status == 200 else {"error": data}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Tests print nothing."""

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        running.append(http)
        url = f"http://127.0.0.1:{http.server_address[1]}"
        return PrometheusSource(
            PrometheusApi(url, sleep=lambda seconds: None),
            tenant="t",
            clock=FixedClock(NOW),
            selection=Selection(since=timedelta(minutes=POINTS - 1, seconds=30), step_s=60),
        )

    yield start
    for http in running:
        http.shutdown()
        http.server_close()


def values_by_series(batches: list[Batch]) -> dict[tuple[str, str], int]:
    """(metric, path) -> how many samples, each time once."""
    names = {one.series_id: (one.metric, one.labels["path"]) for batch in batches for one in batch.series}
    frame = pl.concat([batch.samples for batch in batches if batch.samples is not None])
    assert frame.unique(["series_id", "ts"]).height == frame.height
    return {names[key]: rows for key, rows in frame.group_by("series_id").len().iter_rows()}


def reasons(batches: list[Batch]) -> list[str]:
    return [text for batch in batches if batch.rejected is not None for text in batch.rejected["reason"]]


@pytest.mark.parametrize(("status", "text"), TIME_LIMITS)
def test_the_window_is_halved_until_the_server_accepts_it(
    serve: Callable[[LimitedServer], PrometheusSource], status: int, text: str
) -> None:
    server = LimitedServer({"up": ["/a", "/b"]}, lambda metric, paths, n: (status, text) if n > 20 else None)
    batches = list(serve(server).batches(None))
    assert values_by_series(batches) == {("up", "/a"): POINTS, ("up", "/b"): POINTS}
    assert reasons(batches) == []


@pytest.mark.parametrize(("status", "text"), SERIES_LIMITS)
def test_the_selector_is_halved_until_the_server_accepts_it(
    serve: Callable[[LimitedServer], PrometheusSource], status: int, text: str
) -> None:
    paths = [f'/{n}"\\.*|größe 😀' for n in range(9)]
    server = LimitedServer({"up": paths}, lambda metric, some, n: (status, text) if len(some) > 2 else None)
    batches = list(serve(server).batches(None))
    assert values_by_series(batches) == {("up", path): POINTS for path in paths}
    assert reasons(batches) == []
    assert len(server.queries) < 20


def test_a_limit_of_samples_that_one_time_exceeds_halves_the_selector(
    serve: Callable[[LimitedServer], PrometheusSource],
) -> None:
    paths = [f"/{n}" for n in range(8)]
    server = LimitedServer(
        {"up": paths}, lambda metric, some, n: (422, "too many samples") if len(some) * n > 4 else None
    )
    batches = list(serve(server).batches(None))
    assert values_by_series(batches) == {("up", path): POINTS for path in paths}


def test_one_metric_that_stays_too_large_costs_no_other(
    serve: Callable[[LimitedServer], PrometheusSource],
) -> None:
    server = LimitedServer(
        {"a": ["/a"], "huge": ["/a"], "z": ["/a"]},
        lambda metric, paths, n: (422, "exceeds the limit of this tenant") if metric == "huge" else None,
    )
    batches = list(serve(server).batches(None))
    assert values_by_series(batches) == {("a", "/a"): POINTS, ("z", "/a"): POINTS}
    (reason,) = reasons(batches)
    assert "exceeds the limit of this tenant" in reason
    assert len([metric for metric, _ in server.queries if metric == "huge"]) < 20
    assert batches[-1].cursor is not None


def test_a_server_that_refuses_everything_stops_the_pull_with_its_reason(
    serve: Callable[[LimitedServer], PrometheusSource],
) -> None:
    server = LimitedServer({"a": ["/a"], "b": ["/a"]}, lambda metric, paths, n: (400, "no such tenant"))
    with pytest.raises(InputError, match="no such tenant"):
        list(serve(server).batches(None))


@pytest.mark.parametrize(("status", "text"), [NO_LIMITS[5], NO_LIMITS[6], NO_LIMITS[8], NO_LIMITS[9]])
def test_a_server_that_is_busy_or_broken_stops_the_pull_and_nothing_is_skipped(
    serve: Callable[[LimitedServer], PrometheusSource], status: int, text: str
) -> None:
    server = LimitedServer({"a": ["/a"]}, lambda metric, paths, n: (status, text))
    with pytest.raises(UnavailableError, match=re.escape(text[:40])):
        list(serve(server).batches(None))
