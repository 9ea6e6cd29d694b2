"""Metrics from CloudWatch: a server of moto stands in for AWS; its faults are those that botocore documents."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.stub import Stubber
from fakes.memory_store import MemoryStore, memory_platform
from servers.aws import aws_server, empty_aws

from core.clock import FixedClock
from core.domain import SeriesKind, Severity
from core.errors import ConfigurationError, InputError, UnavailableError
from core.settings import Settings
from pipelines.collect.ingest import IngestReport, ingest
from pipelines.sources.cloudwatch import CloudWatchSelection, CloudWatchSource
from pipelines.sources.cloudwatch_alarms import CloudWatchAlarms
from pipelines.sources.cloudwatch_api import CloudWatchApi, Period
from pipelines.sources.cloudwatch_metrics import Metric
from pipelines.sources.configured import configured_sources

#: moto shows metrics of any age; its clock is that of the machine.
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
STEP = timedelta(minutes=5)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with aws_server() as url:
        yield url


@pytest.fixture
def aws(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of an AWS without metrics."""
    empty_aws(server, monkeypatch)
    return boto3.client(
        "cloudwatch", "eu-west-1", endpoint_url=server, config=Config(retries={"total_max_attempts": 1})
    )


def put(aws: Any, name: str, values: dict[datetime, float], unit: str = "Count", **dimensions: str) -> None:
    aws.put_metric_data(
        Namespace="AWS/Lambda",
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
                "Timestamp": at,
                "Value": value,
                "Unit": unit,
            }
            for at, value in values.items()
        ],
    )


def source(aws: Any, now: datetime, **selection: Any) -> CloudWatchSource:
    chosen = CloudWatchSelection(namespaces=["AWS/Lambda"], since=timedelta(hours=3), **selection)
    return CloudWatchSource(CloudWatchApi(aws), chosen, region="eu-west-1", tenant="t", clock=FixedClock(now))


def pulled(aws: Any, store: MemoryStore, now: datetime, **selection: Any) -> IngestReport:
    return ingest(memory_platform(store, FixedClock(now)), source(aws, now, **selection))


def stored(store: MemoryStore, metric: str) -> dict[datetime, float]:
    (series,) = [one for one in store.series.find() if one.metric == metric]
    frame = store.samples.read(NOON - timedelta(days=2), NOON + timedelta(days=1), [series.series_id])
    return dict(zip(frame["ts"], frame["value"], strict=True))


def test_values_become_series_at_the_ends_of_their_periods(aws: Any) -> None:
    times = [NOON - 3 * STEP, NOON - 2 * STEP]
    put(aws, "Invocations", dict.fromkeys(times, 600.0), FunctionName="checkout")
    put(aws, "ConcurrentExecutions", {times[0]: 3.0, times[0] + STEP / 5: 5.0}, FunctionName="checkout")
    put(aws, "IteratorAge", {times[0]: 1500.0}, "Milliseconds", Shard="s1")
    store = MemoryStore()
    report = pulled(aws, store, NOON)
    assert (report.inserted, report.series, report.rejected) == (4, 3, 0)
    series = {one.metric: one for one in store.series.find()}
    assert {name: (one.service, one.unit) for name, one in series.items()} == {
        "Invocations": ("checkout", "1/s"),
        "ConcurrentExecutions": ("checkout", ""),
        "IteratorAge": ("lambda", "seconds"),
    }
    assert series["Invocations"].kind is SeriesKind.COUNTER
    assert series["IteratorAge"].labels == {"Shard": "s1", "namespace": "AWS/Lambda"}
    assert stored(store, "Invocations") == {NOON - 2 * STEP: 2.0, NOON - STEP: 2.0}
    assert stored(store, "ConcurrentExecutions") == {NOON - 2 * STEP: 4.0}
    assert stored(store, "IteratorAge") == {NOON - 2 * STEP: 1.5}


def test_the_next_pull_reads_new_values_and_late_ones_of_the_last_hour_once(aws: Any) -> None:
    store = MemoryStore()
    put(aws, "Errors", {NOON - 4 * STEP: 300.0, NOON - 2 * STEP: 300.0}, FunctionName="a")
    assert pulled(aws, store, NOON).inserted == 2
    # A pull at the same time has nothing to do.
    assert pulled(aws, store, NOON) == IngestReport()
    late = {NOON - 3 * STEP: 600.0, NOON - timedelta(hours=2): 9.0}
    put(aws, "Errors", late | {NOON - STEP: 900.0, NOON - 2 * STEP: 300.0}, FunctionName="a")
    report = pulled(aws, store, NOON + STEP)
    # The second value of one period would contradict the stored one, so it is not read again.
    assert (report.inserted, report.duplicates, report.rejected) == (2, 0, 0)
    rates = {NOON - 3 * STEP: 1.0, NOON - 2 * STEP: 2.0, NOON - STEP: 1.0, NOON: 3.0}
    assert stored(store, "Errors") == rates


def test_a_pull_after_an_outage_reads_everything_since(aws: Any) -> None:
    store = MemoryStore()
    put(aws, "Errors", {NOON - 2 * STEP: 300.0}, FunctionName="a")
    pulled(aws, store, NOON)
    values = {NOON + timedelta(hours=hour): 300.0 for hour in range(5)}
    put(aws, "Errors", values, FunctionName="a")
    assert pulled(aws, store, NOON + timedelta(hours=5)).inserted == 5


def test_a_metric_that_appears_later_is_read_from_the_usual_start(aws: Any) -> None:
    store = MemoryStore()
    put(aws, "Errors", {NOON - 2 * STEP: 300.0}, FunctionName="a")
    pulled(aws, store, NOON)
    put(aws, "Errors", {NOON - timedelta(hours=2): 1.0, NOON - STEP: 1.0}, FunctionName="b")
    assert pulled(aws, store, NOON + STEP).inserted == 2


def test_metrics_beyond_the_limit_are_reported_and_known_ones_stay(aws: Any) -> None:
    store = MemoryStore()
    put(aws, "Errors", {NOON - 2 * STEP: 1.0}, FunctionName="m")
    assert pulled(aws, store, NOON, max_metrics=1).notes == ()
    for name in ("a", "z"):
        put(aws, "Errors", {NOON - STEP: 1.0}, FunctionName=name)
    put(aws, "Errors", {NOON - STEP: 1.0}, FunctionName="m")
    report = pulled(aws, store, NOON + STEP, max_metrics=1)
    assert "2 metrics of CloudWatch were left out" in report.notes[0]
    assert {one.service for one in store.series.find()} == {"m"}


def test_a_metric_whose_names_cannot_be_stored_is_a_dead_letter_and_the_others_are_read(aws: Any) -> None:
    put(aws, "Errors", {NOON - 2 * STEP: 1.0}, FunctionName="f" * 1_000)
    put(aws, "Errors", {NOON - 2 * STEP: 1.0}, FunctionName="g")
    store = MemoryStore()
    report = pulled(aws, store, NOON)
    assert (report.inserted, report.rejected) == (1, 1)
    ((_, row, reason),) = store.dead_letters.rows
    assert "fff" in row
    assert "400 characters" in reason


def test_the_cursor_forgets_metrics_that_have_gone(aws: Any, server: str) -> None:
    put(aws, "Errors", {NOON - 2 * STEP: 1.0}, FunctionName="gone")
    *_, last = source(aws, NOON).batches(None)
    httpx.post(f"{server}/moto-api/reset")
    put(aws, "Errors", {NOON + STEP: 1.0}, FunctionName="new")
    held = [last.cursor]
    for hours in (0.5, 2):
        *_, last = source(aws, NOON + timedelta(hours=hours)).batches(held[-1])
        held.append(last.cursor)
    assert [len(json.loads(cursor or "")["read"]) for cursor in held] == [1, 2, 1]


def result(identity: str, at: datetime, value: float) -> dict[str, Any]:
    return {"Id": identity, "Timestamps": [at], "Values": [value], "StatusCode": "PartialData"}


def test_all_pages_of_a_response_are_read(aws: Any) -> None:
    metrics = [Metric("AWS/Lambda", name, ()) for name in ("Duration", "Errors")]
    with Stubber(aws) as stub:
        first = {"MetricDataResults": [result("m0", NOON, 1.0)], "NextToken": "2"}
        stub.add_response("get_metric_data", first)
        stub.add_response(
            "get_metric_data",
            {"MetricDataResults": [result("m1", NOON, 2.0), result("m0", NOON + STEP, 3.0)]},
        )
        start = int(NOON.timestamp())
        read = list(CloudWatchApi(aws).values(metrics, Period(start, start + 600, 300)))
        stub.assert_no_pending_responses()
    assert read == [
        (metrics[0], [start], [1.0]),
        (metrics[1], [start], [2.0]),
        (metrics[0], [start + 300], [3.0]),
    ]


def test_a_long_time_is_asked_for_in_calls_within_the_limits_of_aws(aws: Any) -> None:
    metrics = [Metric("AWS/Lambda", "Errors", (("FunctionName", str(number)),)) for number in range(25)]
    asked: list[int] = []
    aws.meta.events.register(
        "provide-client-params.cloudwatch.GetMetricData",
        lambda params, **_: asked.append(len(params["MetricDataQueries"])),
    )
    assert list(CloudWatchApi(aws).values(metrics, Period(0, 300 * 10_000, 300))) == []
    assert asked == [10, 10, 5]


@pytest.mark.parametrize(
    ("code", "status", "error", "text"),
    [
        ("Throttling", 400, UnavailableError, "throttles"),
        ("InternalServiceError", 500, UnavailableError, "does not answer"),
        ("AccessDenied", 403, InputError, "cloudwatch:ListMetrics"),
        ("ExpiredToken", 403, InputError, "refuses the login"),
        ("InvalidParameterValue", 400, InputError, "InvalidParameterValue"),
    ],
)
def test_an_error_of_aws_names_the_remedy(
    aws: Any, code: str, status: int, error: type[Exception], text: str
) -> None:
    with Stubber(aws) as stub:
        stub.add_client_error("list_metrics", code, "because", http_status_code=status)
        with pytest.raises(error, match=text):
            list(source(aws, NOON).batches(None))


def configured(**values: Any) -> None:
    settings = Settings(_env_file=None, cloudwatch_region="eu-west-1", **values)
    (built,) = configured_sources(settings, "t", FixedClock(NOON))
    list(built.batches(None))


def test_settings_that_cannot_work_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="FOREWARN_CLOUDWATCH_NAMESPACES"):
        configured()
    with pytest.raises(InputError, match="multiple of 60"):
        configured(cloudwatch_namespaces=["AWS/EC2"], cloudwatch_step_s=90)
    with pytest.raises(InputError, match="CloudWatch cannot be used"):
        configured(cloudwatch_namespaces=["AWS/EC2"], cloudwatch_endpoint_url="nowhere")
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'forewarn\[aws\]'"):
        configured(cloudwatch_namespaces=["AWS/EC2"])


def test_the_cursor_stays_small(aws: Any) -> None:
    put(aws, "Errors", {NOON - number * STEP: 1.0 for number in range(2, 30)}, FunctionName="a")
    *_, last = source(aws, NOON).batches(None)
    held = json.loads(last.cursor or "")
    assert held["until"] == NOON.timestamp() - 300
    assert len(last.cursor or "") < 100


def alarm(aws: Any, name: str = "Slow", description: str = "severity=critical", **more: Any) -> None:
    dimensions = [{"Name": "FunctionName", "Value": "checkout"}]
    metric = {"Namespace": "AWS/Lambda", "MetricName": "Duration", "Dimensions": dimensions}
    aws.put_metric_alarm(
        AlarmName=name,
        AlarmDescription=description,
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        Threshold=1.0,
        **(more or metric | {"Period": 60, "Statistic": "Average"}),
    )


def test_an_alarm_is_an_incident_while_it_fires(aws: Any) -> None:
    store = MemoryStore()
    began = datetime.now(UTC)
    alarm(aws)
    for state in ("OK", "ALARM", "INSUFFICIENT_DATA", "ALARM", "OK", "OK"):
        aws.set_alarm_state(AlarmName="Slow", StateValue=state, StateReason="test")
        clock = FixedClock(datetime.now(UTC))
        alarms = CloudWatchAlarms(CloudWatchApi(aws), region="eu-west-1", tenant="t", clock=clock)
        ingest(memory_platform(store, clock), alarms)
    (incident,) = store.incidents.between(began - STEP, began + timedelta(hours=1))
    assert (incident.service, incident.type, incident.severity) == ("checkout", "Slow", Severity.CRITICAL)
    assert incident.end is not None
    assert began - timedelta(seconds=1) <= incident.start < incident.end


def test_an_alarm_of_several_metrics_and_one_without_a_service(aws: Any) -> None:
    metric = {
        "Namespace": "AWS/SQS",
        "MetricName": "Age",
        "Dimensions": [{"Name": "QueueName", "Value": "orders"}],
    }
    stat = {"Metric": metric, "Period": 60, "Stat": "Average"}
    alarm(aws, "Old", Metrics=[{"Id": "m1", "MetricStat": stat}])
    metric = metric | {"Dimensions": []}
    alarm(aws, "Nobody's", Metrics=[{"Id": "m1", "MetricStat": stat | {"Metric": metric}}])
    for name in ("Old", "Nobody's"):
        aws.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")
    source = CloudWatchAlarms(CloudWatchApi(aws), region="eu-west-1", tenant="t", clock=FixedClock(NOON))
    (batch,) = source.batches(None)
    assert [(one.service, one.firing) for one in batch.alert_changes] == [("orders", True)]
    assert batch.rejected is not None
    assert "service=NAME" in batch.rejected["reason"].item()


def test_alarms_are_pulled_without_metrics(aws: Any, server: str) -> None:
    settings = Settings(
        _env_file=None, cloudwatch_region="eu-west-1", cloudwatch_alarms=True, cloudwatch_endpoint_url=server
    )
    (only,) = configured_sources(settings, "t", FixedClock(NOON))
    assert only.name == "cloudwatch alarms:eu-west-1"
    assert [batch.alert_changes for batch in only.batches(None)] == [()]
