"""The calls to CloudWatch that a pull needs. They need the extra `aws`.

References:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines.sources.aws import aws_client, aws_failures
from pipelines.sources.cloudwatch_metrics import Metric

#: Limits of one call of GetMetricData.
MAX_QUERIES, MAX_POINTS = 500, 100_000
#: A namespace with more pages of 500 metrics is read up to here.
MAX_PAGES = 20
_TITLE = "CloudWatch"


@dataclass(frozen=True, slots=True)
class Period:
    """Times to ask for: [start, end) in seconds since 1970, in periods of `step_s`."""

    start: int
    end: int
    step_s: int


class CloudWatchApi:
    """CloudWatch of one region.

    Args:
        client: of boto3.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def metrics(self, namespace: str, *, recent: bool) -> tuple[list[Metric], bool]:
        """The metrics of a namespace, sorted, and whether there are more than are read.

        Args:
            recent: only metrics with values in the last three hours.
        """
        arguments = {"Namespace": namespace, **({"RecentlyActive": "PT3H"} if recent else {})}
        found: set[Metric] = set()
        with aws_failures(_TITLE, "cloudwatch:ListMetrics"):
            for number, page in enumerate(self._client.get_paginator("list_metrics").paginate(**arguments)):
                found.update(_metric(one) for one in page.get("Metrics", ()))
                if number + 1 == MAX_PAGES and page.get("NextToken"):
                    return _sorted(found), True
        return _sorted(found), False

    def values(
        self, metrics: Sequence[Metric], period: Period
    ) -> Iterator[tuple[Metric, list[int], list[float]]]:
        """The values of each metric, with the starts of their periods; a metric may come in several parts."""
        points = max(1, (period.end - period.start) // period.step_s)
        size = max(1, min(MAX_QUERIES, MAX_POINTS // points))
        for place in range(0, len(metrics), size):
            yield from self._values(metrics[place : place + size], period)

    def _values(
        self, metrics: Sequence[Metric], period: Period
    ) -> Iterator[tuple[Metric, list[int], list[float]]]:
        queries = [
            {
                "Id": f"m{number}",
                "MetricStat": {
                    "Metric": _named(metric),
                    "Period": period.step_s,
                    "Stat": metric.statistic,
                },
            }
            for number, metric in enumerate(metrics)
        ]
        with aws_failures(_TITLE, "cloudwatch:GetMetricData"):
            pages = self._client.get_paginator("get_metric_data").paginate(
                MetricDataQueries=queries,
                StartTime=datetime.fromtimestamp(period.start, UTC),
                EndTime=datetime.fromtimestamp(period.end, UTC),
                ScanBy="TimestampAscending",
            )
            for page in pages:
                for one in page.get("MetricDataResults", ()):
                    times = [int(at.timestamp()) for at in one.get("Timestamps", ())]
                    if times:
                        yield metrics[int(one["Id"][1:])], times, list(one["Values"])

    def unit(self, metric: Metric, period: Period) -> str:
        """The unit of the values in that time; empty where there are none."""
        with aws_failures(_TITLE, "cloudwatch:GetMetricStatistics"):
            points = self._client.get_metric_statistics(
                **_named(metric),
                StartTime=datetime.fromtimestamp(period.start, UTC),
                EndTime=datetime.fromtimestamp(period.end, UTC),
                Period=period.step_s,
                Statistics=["SampleCount"],
            ).get("Datapoints", ())
        return next((str(one["Unit"]) for one in points if one.get("Unit")), "")

    def alarms(self) -> Iterator[Mapping[str, Any]]:
        """All alarms of metrics, as DescribeAlarms writes them."""
        with aws_failures(_TITLE, "cloudwatch:DescribeAlarms"):
            for page in self._client.get_paginator("describe_alarms").paginate(AlarmTypes=["MetricAlarm"]):
                yield from page.get("MetricAlarms", ())


def connect(region: str, endpoint_url: str | None = None) -> CloudWatchApi:
    """CloudWatch of a region.

    Raises:
        ConfigurationError: the extra is not installed.
        InputError: boto3 refuses the region or the profile.
    """
    return CloudWatchApi(
        aws_client(
            "cloudwatch",
            _TITLE,
            region=region,
            endpoint_url=endpoint_url,
            needed_by="FOREWARN_CLOUDWATCH_REGION",
        )
    )


def _metric(one: Mapping[str, Any]) -> Metric:
    dimensions = sorted((part["Name"], part["Value"]) for part in one.get("Dimensions", ()))
    return Metric(one["Namespace"], one["MetricName"], tuple(dimensions))


def _sorted(metrics: set[Metric]) -> list[Metric]:
    return sorted(metrics, key=lambda one: (one.namespace, one.name, one.dimensions))


def _named(metric: Metric) -> dict[str, Any]:
    return {
        "Namespace": metric.namespace,
        "MetricName": metric.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions],
    }
