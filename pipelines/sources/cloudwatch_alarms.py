"""Pulls the states of the alarms of Amazon CloudWatch: an alarm that fires is an incident. It needs the extra `aws`.

Services and names are those of the alarms that SNS delivers, so both together give one incident.

References:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC
from typing import Any

import polars as pl

from core.alert_changes import AlertChange
from core.batch import Batch
from core.clock import Clock
from core.errors import InputError
from core.ports import MetricSource
from core.service_names import ServiceRule
from pipelines.sources.alert_states import Key, changes_since
from pipelines.sources.cloudwatch_api import CloudWatchApi, connect
from pipelines.sources.source_setup import SourceSetup
from pipelines.sources.webhook_formats.cloudwatch import ENDS, FIRES, AlarmState, change_of
from pipelines.stores.dead_letters import REJECTED


class CloudWatchAlarms:
    """The alarms of metrics of one region (`core.ports.MetricSource`).

    Args:
        region: for the name of the source.
        services: derives the service from the description and the dimensions; null: the usual names.
    """

    def __init__(
        self,
        api: CloudWatchApi,
        *,
        region: str,
        tenant: str,
        clock: Clock,
        services: ServiceRule | None = None,
    ) -> None:
        self._api = api
        self._region = region
        self._tenant = tenant
        self._clock = clock
        self._services = services or ServiceRule()

    @classmethod
    def configured(cls, setup: SourceSetup) -> MetricSource | None:
        """The alarms of the region in the settings; null where `FOREWARN_CLOUDWATCH_ALARMS` is not set.

        Raises:
            ConfigurationError: the extra is not installed.
        """
        settings = setup.settings
        if settings.cloudwatch_region is None or not settings.cloudwatch_alarms:
            return None
        return cls(
            connect(settings.cloudwatch_region, settings.cloudwatch_endpoint_url),
            region=settings.cloudwatch_region,
            tenant=setup.tenant,
            clock=setup.clock,
            services=settings.service_rule,
        )

    @property
    def name(self) -> str:
        return f"cloudwatch alarms:{self._region}"

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        """The alarms that have started to fire, or ended, since the last pull.

        Raises:
            InputError: AWS refuses the login, or a permission is missing.
            UnavailableError: CloudWatch does not answer, or throttles the calls.
        """
        firing: list[AlertChange] = []
        others: dict[Key, AlertChange] = {}
        undecided: set[Key] = set()
        rejected = []
        for alarm in self._api.alarms():
            try:
                change = change_of(_state(alarm), self._tenant, self._services)
            except InputError as error:
                rejected.append((json.dumps({"AlarmArn": alarm.get("AlarmArn", "")}), str(error)))
                continue
            key = (change.service, change.type)
            if change.firing:
                firing.append(change)
            elif alarm["StateValue"] == ENDS:
                others[key] = change
            else:  # too few data
                undecided.add(key)
        changes, held = changes_since(
            cursor,
            firing,
            ended_at={key: change.at for key, change in others.items()},
            undecided=frozenset(undecided),
            tenant=self._tenant,
            now=self._clock.now(),
        )
        yield Batch(
            alert_changes=changes, rejected=pl.DataFrame(rejected, schema=REJECTED, orient="row"), cursor=held
        )


def _state(alarm: Mapping[str, Any]) -> AlarmState:
    # An alarm of several metrics has a list of them in place of its dimensions.
    of_metrics = (one["MetricStat"]["Metric"] for one in alarm.get("Metrics", ()) if "MetricStat" in one)
    metric: Mapping[str, Any] = next(of_metrics, {})
    dimensions = alarm.get("Dimensions") or metric.get("Dimensions") or ()
    at = alarm.get("StateTransitionedTimestamp") or alarm["StateUpdatedTimestamp"]
    return AlarmState(
        name=alarm["AlarmName"],
        description=alarm.get("AlarmDescription") or "",
        dimensions={one["Name"]: one["Value"] for one in dimensions},
        at=at.astimezone(UTC),
        firing=alarm["StateValue"] == FIRES,
    )
