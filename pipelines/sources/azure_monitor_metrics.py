"""Resources and metrics of Azure Monitor, and how their values become a series.

Azure tells for each metric how it is usually aggregated. A total becomes a rate per second.

References:
    https://learn.microsoft.com/en-us/rest/api/monitor/metric-definitions/list
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.domain import Series, SeriesKind
from core.errors import InputError
from core.metric_names import guess_metric
from core.service_names import ServiceRule

TOTAL = "Total"
#: How a metric can be aggregated, in the words of definitions; values have the same words in lower case.
AGGREGATIONS = frozenset({TOTAL, "Average", "Maximum", "Minimum", "Count"})
#: Unit of Azure -> ours, and how many of ours it is.
_UNITS: Mapping[str, tuple[str, float]] = {
    "Seconds": ("seconds", 1.0),
    "MilliSeconds": ("seconds", 1e-3),
    "Bytes": ("bytes", 1.0),
    "BytesPerSecond": ("bytes/s", 1.0),
    "BitsPerSecond": ("bits/s", 1.0),
    "CountPerSecond": ("1/s", 1.0),
    "Percent": ("%", 1.0),
    "Cores": ("cores", 1.0),
    "MilliCores": ("cores", 1e-3),
    "NanoCores": ("cores", 1e-9),
}
_ID = re.compile(
    r"/subscriptions/[^/?#]+/resourceGroups/(?P<group>[^/?#]+)/providers/[^/?#]+/[^/?#]+/(?P<name>[^/?#]+)"
    r"(?P<part>(/[^/?#]+/[^/?#]+)*)/?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of Azure.

    Attributes:
        uri: its id, which begins with /subscriptions/.
        name: what people call it; of a part, such as the blobs of a storage account, that of the whole.
        group: the resource group.
        part: type and name of the part within the whole, such as `blobServices/default`; mostly empty.
    """

    uri: str
    name: str
    group: str
    part: str

    @classmethod
    def parse(cls, uri: str) -> "Resource":
        """The resource of an id.

        Raises:
            InputError: this is no id of a resource.
        """
        found = _ID.fullmatch(uri.strip())
        if found is None:
            raise InputError(
                f"FOREWARN_AZURE_RESOURCES: {uri[:200]!r} is no id of a resource, such as /subscriptions/ID/"
                "resourceGroups/GROUP/providers/Microsoft.Web/sites/NAME"
            )
        return cls(uri.strip().rstrip("/"), found["name"], found["group"], found["part"].strip("/"))


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of one resource.

    Attributes:
        aggregation: one of `AGGREGATIONS`.
        split_by: dimensions whose values are read one by one.
    """

    resource: Resource
    name: str
    namespace: str
    unit: str
    aggregation: str
    split_by: tuple[str, ...]

    @property
    def field(self) -> str:
        """The name of the aggregated value in a response."""
        return self.aggregation.lower()

    def scale(self, step_s: int) -> float:
        """What a value has to be multiplied with, so that it has the unit of the series."""
        factor = _UNITS.get(self.unit, ("", 1.0))[1]
        return factor / step_s if self.aggregation == TOTAL else factor

    def series(
        self, dimensions: Mapping[str, str], *, tenant: str, services: ServiceRule, step_s: int
    ) -> Series:
        """The series of the values with these dimensions.

        Args:
            services: derives the service from the dimensions. Where none names it, the resource does.
        """
        labels = {name: value for name, value in dimensions.items() if value}
        named = services.label_in(labels)
        service = labels.pop(named).strip() if named else self.resource.name
        # Resources of the same name can be in two groups.
        labels.setdefault("namespace", self.resource.group)
        if self.resource.part:
            labels.setdefault("part", self.resource.part)
        guess = guess_metric(self.name)
        own = _UNITS.get(self.unit, ("", 1.0))[0]
        rate = self.aggregation == TOTAL
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
