"""Texts of anomaly signals: "cart p99_latency: spike to 812 ms for 25 min; 120 ms expected"."""

from core.domain import Series, Shape
from core.entities import title_of
from core.formatting import format_deviation, format_duration, format_value

_SHAPES = {
    Shape.POINT_SPIKE: "spike to {}",
    Shape.LEVEL_SHIFT: "new level of {}",
    Shape.SLOW_DRIFT: "slow drift to {}",
    Shape.VARIANCE_CHANGE: "its variation changed, the value went to {}",
    Shape.STUCK: "stuck at {}",
    Shape.MISSING: "no new value after {}",
}

#: Reasons why a deviation needs no alert as long as the series does not cross its threshold.
ENDED_WITHIN_MINUTES = "it ended within minutes"
AFTER_A_DEPLOY = "it began right after a deploy and ended soon"
AFTER_A_RESIZE = "it began when the size was changed, which explains the step"


def anomaly_summary(
    series: Series, shape: Shape, value: float, expected: float, sigma: float, lasted_s: float
) -> str:
    """One sentence: what the value did, for how long, and what was expected.

    Args:
        sigma: the deviation in units of the usual variation, signed.
        lasted_s: seconds from the first to the last anomalous value.
    """
    what = _SHAPES[shape].format(format_value(value, series.unit))
    lasted = f" for {format_duration(lasted_s)}" if lasted_s > 0 else ""
    side = "above" if sigma > 0 else "below"
    return (
        f"{title_of(series)}: {what}{lasted}; {format_deviation(sigma)} {side} the expected "
        f"{format_value(expected, series.unit)}"
    )


def deviating_metric(series: Series, value: float, sigma: float) -> str:
    """A metric of the service that deviates at the same moment."""
    side = "above" if sigma > 0 else "below"
    return f"{series.metric} {format_value(value, series.unit)}, {format_deviation(sigma)} {side} the expected value"


def busy_traffic(sigma: float) -> str:
    """The reason of a deviation that comes with much traffic."""
    return f"traffic is {format_deviation(sigma)} above the expected value at the same time"
