"""Names of metrics and attributes of OpenTelemetry as Prometheus writes them, with unit and type at their ends.

References:
    https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#otlp-metric-points-to-prometheus
    https://github.com/prometheus/otlptranslator (what a Prometheus does that receives OTLP)
"""

import re
from decimal import Decimal

from core.errors import InputError

#: The units at the ends of names; others stay as they are.
_UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds",
    "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes",
    "TiBy": "tibibytes", "KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes",
    "m": "meters", "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius",
    "Hz": "hertz", "1": "", "%": "percent",
}  # fmt: skip
#: The units behind a bar.
_PER = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
_WORD = re.compile(r"[A-Za-z0-9:]+")
_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9]+")


def metric_name(name: str, unit: str, kind: str, *, monotonic: bool) -> str:
    """The name of a metric.

    Args:
        unit: a code of UCUM.
        kind: gauge, sum, histogram, exponentialHistogram or summary.
        monotonic: whether a sum can only grow.
    Raises:
        InputError: nothing of the name can be written.

    Examples:
        >>> metric_name("http.server.request.duration", "s", "histogram", monotonic=False)
        'http_server_request_duration_seconds'
        >>> metric_name("system.network.io", "By/s", "gauge", monotonic=False)
        'system_network_io_bytes_per_second'
        >>> [metric_name("x.total.hits", "{hit}", "sum", monotonic=one) for one in (True, False)]
        ['x_hits_total', 'x_total_hits']
        >>> metric_name("cpu.utilization", "1", "gauge", monotonic=False)
        'cpu_utilization_ratio'
    """
    words = _WORD.findall(name)
    if not words:
        raise InputError(f"the name {name!r} has no letter or digit that Prometheus allows")
    main, _, per = (part.strip() for part in unit.partition("/"))
    words += [word for word in (_unit(main, _UNITS),) if word and word not in words]
    if divisor := _unit(per, _PER):
        words.append(f"per_{divisor}")
    end = "total" if kind == "sum" and monotonic else "ratio" if kind == "gauge" and unit == "1" else ""
    if end:
        words = [*(word for word in words if word != end), end]
    found = "_".join(words)
    return f"_{found}" if found[0].isdigit() else found


def label_name(name: str) -> str:
    """The name of a label. It never begins with two underscores, which are for Prometheus's own labels.

    Raises:
        InputError: nothing of the name can be written.

    Examples:
        >>> [label_name(name) for name in ("http.response.status_code", "7z", "__name__")]
        ['http_response_status_code', 'key_7z', '_name_']
    """
    found = _NOT_IN_LABELS.sub("_", name)
    if not found.strip("_"):
        raise InputError(f"the attribute {name!r} has no letter or digit that Prometheus allows")
    return f"key_{found}" if found[0].isdigit() else found


def number_text(value: float) -> str:
    """A number in a label, without an exponent.

    Examples:
        >>> [number_text(value) for value in (0.005, 5.0, 1e-7, 2.5e9)]
        ['0.005', '5', '0.0000001', '2500000000']
    """
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _unit(code: str, known: dict[str, str]) -> str:
    if "{" in code or "}" in code:
        return ""
    return "_".join(_WORD.findall(known.get(code, code)))
