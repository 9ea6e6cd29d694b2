"""Metrics from Azure Monitor, from bodies in the form of its public documentation, served by a small local server.

References:
    https://github.com/Azure/azure-rest-api-specs (Microsoft.Insights, examples of version 2018-01-01)
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fakes.memory_store import MemoryStore, memory_platform
from fakes.receiver import Receiver, Reply, Request

from core.clock import FixedClock
from core.domain import Role, SeriesKind
from core.errors import ConfigurationError, InputError, UnavailableError
from core.settings import Settings
from pipelines.collect.ingest import IngestReport, ingest
from pipelines.sources.azure_monitor_metrics import Resource
from pipelines.sources.configured import configured_sources

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
STEP = timedelta(minutes=5)
GROUP = "/subscriptions/07c0b09d-9f69-4e6e-8d05-f59f67299cb2/resourceGroups/shop"
SITE = f"{GROUP}/providers/Microsoft.Web/sites/checkout"
BLOBS = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/larryshoebox/blobServices/default"
LOGIN = {"azure_tenant_id": "tenant", "azure_client_id": "app", "azure_client_secret": "hunter2"}


def definition(name: str, unit: str, aggregation: str, *dimensions: str, grains: int = 8) -> dict[str, Any]:
    every = ("PT1M", "PT5M", "PT15M", "PT30M", "PT1H", "PT6H", "PT12H", "P1D")
    return {
        "id": f"{SITE}/providers/microsoft.insights/metricdefinitions/{name}",
        "resourceId": SITE,
        "namespace": "Microsoft.Web/sites",
        "name": {"value": name, "localizedValue": name.title()},
        "isDimensionRequired": False,
        "unit": unit,
        "primaryAggregationType": aggregation,
        "supportedAggregationTypes": ["None", "Average", "Minimum", "Maximum", "Total", "Count"],
        "metricAvailabilities": [{"timeGrain": one, "retention": "P93D"} for one in every[-grains:]],
        "dimensions": [{"value": one, "localizedValue": one} for one in dimensions],
    }


@dataclass
class Azure:
    """What Azure knows, and what it was asked for.

    Attributes:
        values: (metric, values of its dimensions) -> start of a period -> value.
        refusals: path of a resource -> the reply in place of its metrics.
    """

    url: str = ""
    definitions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    values: dict[tuple[str, ...], dict[datetime, float]] = field(default_factory=dict)
    refusals: dict[str, Reply] = field(default_factory=dict)
    queries: list[Mapping[str, str]] = field(default_factory=list)

    def reply(self, request: Request) -> Reply:
        address = urlsplit(request.path)
        query = {name: one for name, (one, *_) in parse_qs(address.query).items()}
        if address.path == "/tenant/oauth2/v2.0/token":
            form = {name: one for name, (one, *_) in parse_qs(request.body.decode()).items()}
            if form != {
                "grant_type": "client_credentials",
                "client_id": "app",
                "client_secret": "hunter2",
                "scope": f"{self.url}/.default",
            }:
                text = "AADSTS7000215: Invalid client secret provided."
                return _json({"error": "invalid_client", "error_description": text}, 401)
            return _json({"token_type": "Bearer", "expires_in": 3599, "access_token": "ticket"})
        resource, _, what = address.path.partition("/providers/Microsoft.Insights/")
        if request.headers.get("Authorization") != "Bearer ticket":
            error = {"code": "InvalidAuthenticationToken", "message": "The access token is invalid."}
            return _json({"error": error}, 401)
        assert query["api-version"] == "2018-01-01"
        if resource in self.refusals:
            return self.refusals[resource]
        if what == "metricDefinitions":
            return _json({"value": self.definitions[resource]})
        self.queries.append(query)
        return _json(self._metrics(query))

    def _metrics(self, query: Mapping[str, str]) -> dict[str, Any]:
        begin, end = (datetime.fromisoformat(one) for one in query["timespan"].split("/"))
        split = [part.removesuffix(" eq '*'") for part in query.get("$filter", "").split(" and ") if part]
        (units,) = (
            {one["name"]["value"]: one for one in every} for every in list(self.definitions.values())[:1]
        )
        return {
            "cost": 0,
            "timespan": query["timespan"],
            "interval": query["interval"],
            "namespace": "Microsoft.Web/sites",
            "resourceregion": "eastus2",
            "value": [
                {
                    "id": f"{SITE}/providers/Microsoft.Insights/metrics/{name}",
                    "type": "Microsoft.Insights/metrics",
                    "name": {"value": name, "localizedValue": name},
                    "unit": units[name]["unit"],
                    "timeseries": [
                        {
                            "metadatavalues": [
                                {
                                    "name": {"value": dimension.lower(), "localizedValue": dimension},
                                    "value": value,
                                }
                                for dimension, value in zip(split, dimensions, strict=True)
                            ],
                            "data": [
                                _point(begin + number * STEP, points, units[name]["primaryAggregationType"])
                                for number in range((end - begin) // STEP)
                            ],
                        }
                        for (metric, *dimensions), points in self.values.items()
                        if metric == name
                    ],
                }
                for name in query["metricnames"].split(",")
            ],
        }


def _point(at: datetime, points: Mapping[datetime, float], aggregation: str) -> dict[str, Any]:
    time = {"timeStamp": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
    return time | ({aggregation.lower(): points[at]} if at in points else {})


def _json(body: object, status: int = 200, **headers: str) -> Reply:
    return Reply(status, headers, json.dumps(body).encode())


@pytest.fixture
def azure() -> Iterator[Azure]:
    known = Azure(definitions={SITE: [definition("Requests", "Count", "Total", "Instance")]})
    with Receiver(reply_to=known.reply) as server:
        known.url = server.url
        yield known


def pulled(azure: Azure, store: MemoryStore, now: datetime, **settings: Any) -> IngestReport:
    values = {"azure_resources": [SITE], "azure_since_h": 3.0, **LOGIN, **settings}
    (source,) = configured_sources(
        Settings(_env_file=None, azure_endpoint_url=azure.url, azure_login_url=azure.url, **values),
        "t",
        FixedClock(now),
    )
    return ingest(memory_platform(store, FixedClock(now)), source)


def stored(store: MemoryStore, metric: str) -> dict[datetime, float]:
    (series,) = [one for one in store.series.find() if one.metric == metric]
    frame = store.samples.read(NOON - timedelta(days=2), NOON + timedelta(days=1), [series.series_id])
    return dict(zip(frame["ts"], frame["value"], strict=True))


def test_values_become_series_at_the_ends_of_their_periods(azure: Azure) -> None:
    azure.definitions[SITE] += [
        definition("HttpResponseTime", "Seconds", "Average"),
        definition("MemoryWorkingSet", "Bytes", "Average"),
        definition("FileSystemUsage", "Bytes", "Average", grains=3),
    ]
    azure.values = {
        ("Requests",): {NOON - 3 * STEP: 600.0, NOON - STEP: 999.0},
        ("HttpResponseTime",): {NOON - 3 * STEP: 0.25},
        ("MemoryWorkingSet",): {NOON - 3 * STEP: 1e9},
    }
    store = MemoryStore()
    report = pulled(azure, store, NOON)
    # The newest period may still get values.
    assert (report.inserted, report.series, report.rejected) == (3, 3, 0)
    assert report.notes == ("1 metrics of Azure have no values every 300 s",)
    series = {one.metric: one for one in store.series.find()}
    assert {name: (one.service, one.unit, one.kind) for name, one in series.items()} == {
        "Requests": ("checkout", "1/s", SeriesKind.COUNTER),
        "HttpResponseTime": ("checkout", "seconds", SeriesKind.GAUGE),
        "MemoryWorkingSet": ("checkout", "bytes", SeriesKind.GAUGE),
    }
    assert series["HttpResponseTime"].role is Role.LATENCY
    assert series["Requests"].labels == {"namespace": "shop"}
    assert stored(store, "Requests") == {NOON - 2 * STEP: 2.0}
    (query,) = azure.queries
    assert query["metricnames"] == "Requests,HttpResponseTime,MemoryWorkingSet"
    assert (query["aggregation"], query["interval"]) == ("Average,Total", "PT5M")
    assert query["timespan"] == "2026-03-02T09:00:00Z/2026-03-02T11:55:00Z"


def test_the_next_pull_reads_new_values_and_late_ones_of_the_last_hour_once(azure: Azure) -> None:
    store = MemoryStore()
    points = azure.values[("Requests",)] = {NOON - 6 * STEP: 300.0, NOON - 3 * STEP: 300.0}
    assert pulled(azure, store, NOON).inserted == 2
    assert pulled(azure, store, NOON) == IngestReport()
    points |= {NOON - 4 * STEP: 600.0, NOON - 3 * STEP: 900.0, NOON - STEP: 900.0}
    assert pulled(azure, store, NOON + STEP).inserted == 2
    assert azure.queries[-1]["timespan"] == "2026-03-02T11:00:00Z/2026-03-02T12:00:00Z"
    # A value that was read before stays as it was.
    expected = {NOON - 5 * STEP: 1.0, NOON - 3 * STEP: 2.0, NOON - 2 * STEP: 1.0, NOON: 3.0}
    assert stored(store, "Requests") == expected
    points |= {NOON + timedelta(hours=hour): 300.0 for hour in range(1, 30)}
    assert pulled(azure, store, NOON + timedelta(hours=30)).inserted == 29, "an outage is read in days"


def test_a_new_metric_is_read_from_the_usual_start(azure: Azure) -> None:
    store = MemoryStore()
    azure.values[("Requests",)] = {NOON - 2 * STEP: 300.0}
    pulled(azure, store, NOON)
    azure.definitions[SITE].append(definition("Http5xx", "Count", "Total"))
    azure.values[("Http5xx",)] = {NOON - timedelta(hours=2): 3.0}
    assert pulled(azure, store, NOON + STEP).inserted == 1


def test_a_metric_is_split_by_the_dimensions_that_people_choose(azure: Azure) -> None:
    store = MemoryStore()
    azure.values = {
        ("Requests", "web-1"): {NOON - 3 * STEP: 300.0},
        ("Requests", "web-2"): {NOON - 3 * STEP: 600.0},
    }
    assert pulled(azure, store, NOON, azure_dimensions=["instance"]).inserted == 2
    assert azure.queries[0]["$filter"] == "Instance eq '*'"
    assert {one.labels["Instance"] for one in store.series.find()} == {"web-1", "web-2"}
    azure.values[("Requests", "web-1")][NOON - STEP] = 300.0
    assert pulled(azure, store, NOON + STEP, azure_dimensions=["instance"]).inserted == 1


def test_more_series_than_azure_is_asked_for_are_reported(azure: Azure) -> None:
    azure.values = {("Requests", f"web-{number}"): {NOON - 3 * STEP: 300.0} for number in range(100)}
    report = pulled(azure, MemoryStore(), NOON, azure_dimensions=["Instance"])
    assert report.notes == ("Requests of Azure has more than 100 series; the others were left out",)


def test_many_metrics_are_asked_for_in_calls_of_twenty_and_up_to_the_limit(azure: Azure) -> None:
    names = [f"Metric{number}" for number in range(30)]
    azure.definitions[SITE] = [definition(name, "Count", "Average") for name in names]
    report = pulled(azure, MemoryStore(), NOON, azure_max_metrics=25)
    assert [query["metricnames"].count(",") + 1 for query in azure.queries] == [20, 5]
    assert "5 metrics of Azure were left out: raise FOREWARN_AZURE_MAX_METRICS (25)" in report.notes[0]


def test_a_resource_that_has_gone_does_not_stop_the_others(azure: Azure) -> None:
    gone = SITE.replace("checkout", "gone")
    azure.refusals[gone] = _json({"error": {"code": "ResourceNotFound", "message": "It was not found."}}, 404)
    azure.values[("Requests",)] = {NOON - 3 * STEP: 300.0}
    report = pulled(azure, MemoryStore(), NOON, azure_resources=[gone, SITE])
    assert report.inserted == 1
    assert "gone was left out: Azure Monitor, asked for gone, refuses the call (HTTP 404)" in report.notes[0]
    with pytest.raises(InputError, match="HTTP 404"):
        pulled(azure, MemoryStore(), NOON, azure_resources=[gone])


def test_a_series_whose_names_cannot_be_stored_is_a_dead_letter(azure: Azure) -> None:
    azure.definitions[SITE] = [
        definition("Requests", "Count", "Total", "service"),
        definition("x" * 1_000, "Count", "Average"),
    ]
    azure.values = {("Requests", name): {NOON - 3 * STEP: 1.0} for name in ("w" * 1_000, "web")}
    store = MemoryStore()
    report = pulled(azure, store, NOON, azure_dimensions=["service"])
    assert (report.inserted, report.rejected) == (1, 2)
    assert [one.service for one in store.series.find()] == ["web"]


def test_azure_that_throttles_tells_when_it_may_be_asked_again(azure: Azure) -> None:
    error = {"error": {"code": "TooManyRequests", "message": "Slow down."}}
    azure.refusals[SITE] = _json(error, 429, **{"Retry-After": "900"})
    with pytest.raises(UnavailableError, match="the next request is due at"):
        pulled(azure, MemoryStore(), NOON)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"azure_client_secret": "wrong"},
            "refuses FOREWARN_AZURE_CLIENT_ID and FOREWARN_AZURE_CLIENT_SECRET",
        ),
        ({"azure_bearer_token": "old"}, "role Monitoring Reader"),
    ],
)
def test_a_refused_login_names_the_remedy_and_shows_no_secret(azure: Azure, settings: Any, text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        pulled(azure, MemoryStore(), NOON, **settings)
    assert "wrong" not in str(caught.value)


def test_a_given_token_needs_no_login(azure: Azure) -> None:
    azure.values[("Requests",)] = {NOON - 3 * STEP: 300.0}
    secret = {"azure_client_secret": None, "azure_bearer_token": "ticket"}
    assert pulled(azure, MemoryStore(), NOON, **secret).inserted == 1


def test_settings_that_cannot_work_are_named(azure: Azure) -> None:
    for settings, error, text in (
        ({"azure_client_secret": None}, ConfigurationError, "FOREWARN_AZURE_CLIENT_SECRET"),
        ({"azure_resources": ["checkout"]}, InputError, "is no id of a resource"),
        ({"azure_step_s": 120}, InputError, "must be one of 60, 300"),
        ({"azure_login_url": "nowhere"}, InputError, "FOREWARN_AZURE_LOGIN_URL"),
    ):
        values: dict[str, Any] = {"azure_resources": [SITE], **LOGIN, **settings}
        with pytest.raises(error, match=text):
            configured_sources(Settings(_env_file=None, **values), "t", FixedClock(NOON))


def test_a_part_of_a_resource_has_the_name_of_the_whole() -> None:
    found = Resource.parse(BLOBS + "/")
    assert (found.name, found.group, found.part) == ("larryshoebox", "shop", "blobServices/default")
    assert found.uri == BLOBS


@pytest.mark.parametrize("body", ["[]", "{}", '{"value": 1}', "<html>", '{"value": [{"name": "Requests"}]}'])
def test_a_body_that_is_not_of_azure_is_named(azure: Azure, body: str) -> None:
    azure.refusals[SITE] = Reply(200, {}, body.encode())
    with pytest.raises(
        UnavailableError, match="Azure Monitor, asked for checkout, sent something unexpected"
    ):
        pulled(azure, MemoryStore(), NOON)
