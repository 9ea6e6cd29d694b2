"""A tenant's scores and bands for Prometheus and Grafana, under the names that vmanomaly made known.

Here alone a score over 1 means outside the band, as in those tools: `anomaly_score` is the distance from the
expectation in half-widths of the band. The series' labels are kept. Only the tenant's own key shows these.
"""

from collections.abc import Iterable

from core.domain import Band, Series
from core.errors import ModelUnavailableError
from serving.contract.responses import ScoredPoint
from serving.endpoints.detect import detect_latest
from serving.state.tenants import TenantContext

#: Prometheus scrapes every 15 s or so; between two scrapes the answer is the same.
SCRAPE_TTL_S = 10.0
#: More series than this are not shown one by one; they are in the signals and the stored forecasts.
MAX_SERIES = 5_000
_HELP = {
    "anomaly_score": "Distance of the newest value from the expectation, in half-widths of the band.",
    "yhat": "Expected value at the time of the newest one.",
    "yhat_lower": "Lower edge of the band.",
    "yhat_upper": "Upper edge of the band.",
}


def tenant_metrics(context: TenantContext) -> bytes:
    """The newest value of each series, judged: exposition format."""
    return context.cached("scrape", SCRAPE_TTL_S, lambda: _render(context))


def band_score(value: float, band: Band) -> float | None:
    """0 on the expectation, 1 on an edge of the band, over 1 outside; null where the band has no width."""
    edge = band.upper if value >= band.expected else band.lower
    half_width = abs(edge - band.expected)
    return abs(value - band.expected) / half_width if half_width > 0 else None


def _render(context: TenantContext) -> bytes:
    try:
        judged = detect_latest(context, MAX_SERIES)
    except ModelUnavailableError:
        return b""
    lines: dict[str, list[str]] = {name: [] for name in _HELP}
    for series, point in judged:
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
    """`for` names the metric that is judged, as vmanomaly has it; then the series' own labels."""
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
    """OpenTelemetry's dots are not allowed in the labels of Prometheus."""
    clean = "".join(sign if sign.isascii() and (sign.isalnum() or sign == "_") else "_" for sign in name)
    return clean if not clean[:1].isdigit() else f"_{clean}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
