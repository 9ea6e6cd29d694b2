"""What is asked of a metric of CloudWatch, and how its values become a series.

CloudWatch does not tell whether a metric counts something, so the words of its name decide about the statistic:

- what happens (requests, errors, bytes of a network): the sum of a period, as a rate per second;
- latencies that users feel: the 99th percentile;
- everything else: the average.

References:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html (units)
"""

from collections.abc import Mapping
from dataclasses import dataclass

from core.domain import Role, Series, SeriesKind
from core.metric_names import guess_metric, words_of
from core.service_names import ServiceRule
from pipelines.sources.aws_dimensions import service_dimension

SUM, AVERAGE, P99 = "Sum", "Average", "p99"
#: Names of traffic and errors that are a level or a share at a moment, and whose sum means nothing.
_LEVELS = frozenset(
    {"visible", "delayed", "active", "current", "open", "healthy", "available", "age", "lag", "depth"}
    | {"rate", "ratio", "percent", "percentage", "utilization", "per"}
)
#: Latencies of load balancers, API Gateway, Lambda, DynamoDB and S3, which have percentiles. Others, such as those of
#: disks, are published as statistic sets, of which CloudWatch computes none.
_WITH_PERCENTILES = frozenset(
    {
        "TargetResponseTime", "Latency", "IntegrationLatency", "Duration", "SuccessfulRequestLatency",
        "FirstByteLatency", "TotalRequestLatency",
    }
)  # fmt: skip
#: Unit of CloudWatch -> ours, and how many of ours it is.
_UNITS: Mapping[str, tuple[str, float]] = {
    "Seconds": ("seconds", 1.0),
    "Milliseconds": ("seconds", 1e-3),
    "Microseconds": ("seconds", 1e-6),
    "Percent": ("%", 1.0),
    **{
        f"{prefix}{unit}".capitalize(): (unit, factor)
        for unit in ("bytes", "bits")
        for prefix, factor in {"": 1.0, "kilo": 1e3, "mega": 1e6, "giga": 1e9, "tera": 1e12}.items()
    },
}
_PER_SECOND = "/Second"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of CloudWatch: its namespace, its name and its dimensions."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]

    @property
    def statistic(self) -> str:
        """The statistic to ask for.

        Examples:
            >>> names = ("HTTPCode_Target_5XX_Count", "5xxErrorRate", "Latency", "ReadLatency", "CPUUtilization")
            >>> [Metric("AWS/X", name, ()).statistic for name in names]
            ['Sum', 'Average', 'p99', 'Average', 'Average']
        """
        if self.name in _WITH_PERCENTILES:
            return P99
        happens = guess_metric(self.name).role in {Role.TRAFFIC, Role.ERRORS}
        return SUM if happens and _LEVELS.isdisjoint(words_of(self.name)) else AVERAGE

    def scale(self, unit: str, step_s: int) -> float:
        """What a value has to be multiplied with, so that it has the unit of the series."""
        _, factor = _unit(unit)
        return factor / step_s if self.statistic == SUM else factor

    def series(self, *, tenant: str, services: ServiceRule, unit: str, step_s: int) -> Series:
        """The series of the values.

        Args:
            services: derives the service from the dimensions. Where none names it, the namespace does.
            unit: as CloudWatch writes it, such as `Milliseconds`.
        """
        labels = {name: value for name, value in self.dimensions if value}
        named = service_dimension(labels, services)
        service = labels.pop(named).strip() if named else self.namespace.rpartition("/")[2].lower()
        # Two namespaces may have a metric of the same name and dimensions.
        labels.setdefault("namespace", self.namespace)
        guess = guess_metric(self.name)
        own = _unit(unit)[0] or guess.unit
        rate = self.statistic == SUM
        return Series(
            tenant=tenant,
            service=service,
            metric=self.name,
            labels=labels,
            unit=(f"{own}/s" if own else "1/s") if rate else own,
            kind=SeriesKind.COUNTER if rate else SeriesKind.GAUGE,
            role=guess.role,
            step_s=step_s,
        )


def _unit(unit: str) -> tuple[str, float]:
    """Our unit and its factor; empty for counts and for what has no unit.

    Examples:
        >>> _unit("Milliseconds"), _unit("Kilobytes/Second"), _unit("Count"), _unit("Count/Second")
        (('seconds', 0.001), ('bytes/s', 1000.0), ('', 1.0), ('1/s', 1.0))
    """
    of_one = unit.removesuffix(_PER_SECOND)
    name, factor = _UNITS.get(of_one, ("", 1.0))
    return (f"{name or '1'}/s" if of_one != unit else name), factor
