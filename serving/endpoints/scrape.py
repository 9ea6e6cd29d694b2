"""`GET /metrics`: the service's own metrics, and a tenant's scores and bands under vmanomaly's metric names.

As in vmanomaly, an `anomaly_score` over 1 means outside the band: it is the distance from the expectation in
half-widths of the band. The labels of a series are kept. Scores are shown to the tenant's own key only.
"""

from collections.abc import Iterable

from starlette.responses import Response

from core.domain import Band, Series
from core.errors import ModelUnavailableError
from serving.contract.responses import ScoredPoint
from serving.endpoints.detect import detect_latest
from serving.endpoints.route import Call, Route
from serving.state.runtime import Runtime
from serving.state.tenants import TenantContext

#: Prometheus scrapes about every 15 s; several scrapers within this time get the same text.
SCRAPE_TTL_S = 10.0
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: The scores of at most so many series are shown; signals and stored forecasts cover the others.
MAX_SERIES = 5_000
_HELP = {
    "anomaly_score": "Distance of the newest value from the expectation, in half-widths of the band.",
    "yhat": "Expected value at the time of the newest one.",
    "yhat_lower": "Lower edge of the band.",
    "yhat_upper": "Upper edge of the band.",
}


def tenant_metrics(context: TenantContext) -> bytes:
    """The score of the newest value of each series, in the exposition format."""
    return context.cached("scrape", SCRAPE_TTL_S, lambda: _render(context))


def band_score(value: float, band: Band) -> float | None:
    """0 at the expectation, 1 at an edge of the band, over 1 outside; null where the band has no width."""
    edge = band.upper if value >= band.expected else band.lower
    half_width = abs(edge - band.expected)
    return abs(value - band.expected) / half_width if half_width > 0 else None


def _render(context: TenantContext) -> bytes:
    try:
        scored = detect_latest(context, MAX_SERIES)
    except ModelUnavailableError:
        return b""
    lines: dict[str, list[str]] = {name: [] for name in _HELP}
    for series, point in scored:
        _add(lines, series, point)
    text = "".join(
        f"# HELP {name} {_HELP[name]}\n# TYPE {name} gauge\n" + "".join(rows)
        for name, rows in lines.items()
        if rows
    )
    return text.encode()


def _add(lines: dict[str, list[str]], series: Series, point: ScoredPoint) -> None:
    band = point.band
    if band is None or point.value is None:
        return
    labels = _labels(series)
    values = {
        "anomaly_score": band_score(point.value, band),
        "yhat": band.expected,
        "yhat_lower": band.lower,
        "yhat_upper": band.upper,
    }
    for name, value in values.items():
        if value is not None:
            lines[name].append(f"{name}{{{labels}}} {value!r}\n")


def _labels(series: Series) -> str:
    """`for` is the name of the scored metric, as in vmanomaly; then the labels of the series."""
    pairs: Iterable[tuple[str, str]] = [
        ("for", series.metric),
        ("service", series.service),
        *(
            (_label_name(key), value)
            for key, value in sorted(series.labels.items())
            if key not in ("for", "service")
        ),
    ]
    return ",".join(f'{key}="{_escaped(value)}"' for key, value in pairs)


def _label_name(name: str) -> str:
    """OpenTelemetry label names contain dots, which Prometheus does not allow."""
    clean = "".join(sign if sign.isascii() and (sign.isalnum() or sign == "_") else "_" for sign in name)
    return clean if not clean[:1].isdigit() else f"_{clean}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _metrics(runtime: Runtime, call: Call) -> Response:
    text = runtime.metrics.text()
    if call.tenant is not None:
        text += tenant_metrics(runtime.context(call.tenant))
    return Response(text, headers={"Content-Type": METRICS_TYPE})


ROUTE = Route(
    method="GET",
    path="/metrics",
    summary="Show Prometheus metrics of the service; with a key, also the scores of its tenant.",
    handler=_metrics,
    public=True,
    optional_key=True,
)
