"""The failure features: named once, in range, and never ahead of their time."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from core.domain import Event, EventKind, Role, Series
from core.errors import InputError, InvalidFrameError, LeakageError
from core.metric_names import feature_slot
from features import windows
from features.catalog import (
    BY_NAME,
    FEATURE_NAMES,
    checked_values,
    features_of_services,
    service_features,
)
from features.feature import LOOKBACK_H
from features.grid import AGE_CAP_H, FleetGrid, fleet_grid
from features.leakage import check_point_in_time, check_training_set
from features.resources import FILLING
from features.slots import SLOTS, dependencies, scale_of
from models.failure import incident_frame, label, reasons
from models.words import feature as feature_texts
from models.words.feature import describe_feature
from pipelines.sources.simulated import SimulatedFleet

END = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def fleet() -> SimulatedFleet:
    return SimulatedFleet(services=6, days=12, seed=3, end=END)


@pytest.fixture(scope="module")
def grid(fleet: SimulatedFleet) -> FleetGrid:
    return fleet_grid(fleet.samples, fleet.series, fleet.events, start=fleet.start, end=fleet.end)


@pytest.fixture(scope="module")
def wide(grid: FleetGrid) -> pl.DataFrame:
    return dict(grid.wide())["default/search"]


def test_names_are_unique_and_fit_a_column() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES) == len(BY_NAME)
    assert all(name.isidentifier() and name.islower() and len(name) < 63 for name in FEATURE_NAMES)


def test_all_features_are_in_their_range(grid: FleetGrid) -> None:
    for _, frame in grid.wide():
        checked_values(service_features(frame))


def test_services_do_not_see_each_other_when_their_features_are_made_at_once(grid: FleetGrid) -> None:
    wides = [frame for _, frame in grid.wide()][:3]
    # One that is shorter than the others, and does not begin on a half hour.
    wides[1] = wides[1][-288 * 3 - 7 :]
    for phases in ((0,), (0, 5)):
        made = features_of_services(wides, phases=phases).partition_by("service", include_key=False)
        for frame, wide in zip(made, wides, strict=True):
            assert_frame_equal(frame, service_features(wide, phases=phases), check_exact=True)


@pytest.mark.parametrize("factor", [1.0, 2.0**10])
@pytest.mark.parametrize("lead_h", [LOOKBACK_H, LOOKBACK_H - 1, 3])
def test_services_do_not_see_each_other_whatever_lies_before_the_wanted_rows(
    grid: FleetGrid, lead_h: int, factor: float
) -> None:
    since = END - timedelta(hours=24)
    wides = [
        frame.filter(pl.col("ts") >= since - timedelta(hours=lead_h)) for _, frame in list(grid.wide())[:3]
    ]
    # What is far beyond its limits stays in running sums.
    wides[0] = wides[0].with_columns(pl.col(*SLOTS) * factor)
    made = features_of_services(wides, phases=(0, 5), since=since).partition_by("service", include_key=False)
    for frame, wide in zip(made, wides, strict=True):
        alone = service_features(wide, phases=(0, 5)).filter(pl.col("ts") >= since)
        assert_frame_equal(frame, alone, check_exact=True)


def test_a_value_out_of_range_is_named() -> None:
    with pytest.raises(InvalidFrameError, match="hour_of_day"):
        checked_values(pl.DataFrame({"hour_of_day": [25.0]}), ["hour_of_day"])


def test_no_feature_looks_ahead(wide: pl.DataFrame) -> None:
    check_point_in_time(service_features, wide, END - timedelta(days=2))


def test_a_planted_look_ahead_is_found(wide: pl.DataFrame) -> None:
    def leaky(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select(
            "ts", honest=pl.col("memory"), smoothed=pl.col("memory").rolling_mean(5, center=True)
        )

    with pytest.raises(LeakageError, match="smoothed"):
        check_point_in_time(leaky, wide, END - timedelta(days=2))


def test_a_feature_filled_backwards_is_found(wide: pl.DataFrame) -> None:
    with pytest.raises(LeakageError, match="filled"):
        check_point_in_time(
            lambda frame: frame.select("ts", filled=pl.col("memory").shift(-1)), wide, END - timedelta(days=2)
        )


@pytest.fixture(scope="module")
def training(fleet: SimulatedFleet, grid: FleetGrid) -> pl.DataFrame:
    frames = [
        service_features(frame)[::6].with_columns(pl.lit(service).alias("service_id"))
        for service, frame in grid.wide()
    ]
    return label(pl.concat(frames), incident_frame(fleet.incidents), known_until=fleet.end).filter("usable")


def test_the_training_set_holds_nothing_that_knows_the_future(training: pl.DataFrame) -> None:
    check_training_set(training, FEATURE_NAMES)


def test_a_leak_planted_in_a_training_set_is_found(training: pl.DataFrame) -> None:
    planted = training.with_columns(
        innocent=(pl.col("failure_in_s").fill_null(9e9) / 3600).sqrt() + 0.01 * pl.col("hour_of_day")
    )
    with pytest.raises(LeakageError, match="innocent"):
        check_training_set(planted, [*FEATURE_NAMES, "innocent"])


def test_an_outcome_among_the_features_is_a_leak_by_its_name(training: pl.DataFrame) -> None:
    with pytest.raises(LeakageError, match="known_s"):
        check_training_set(training, ["memory_level_15m", "known_s"])


def test_one_moment_alone_has_the_features_it_has_in_its_history(
    fleet: SimulatedFleet, grid: FleetGrid
) -> None:
    """What serving computes from the last days is what training saw."""
    offline = {service: service_features(frame)[-1] for service, frame in grid.wide()}
    start = END - timedelta(hours=LOOKBACK_H)
    events = [event for event in fleet.events if event.at >= start - timedelta(hours=AGE_CAP_H)]
    online = fleet_grid(
        fleet.samples.filter(pl.col("ts") >= start), fleet.series, events, start=start, end=END
    )
    for service, frame in online.wide():
        now = service_features(frame)[-1]
        for name in FEATURE_NAMES:
            was, is_now = offline[service][name][0], now[name][0]
            assert (was is None) == (is_now is None), name
            assert was is None or is_now == pytest.approx(was, abs=1e-6), name


def test_asking_for_some_steps_of_each_half_hour_changes_nothing_in_them(wide: pl.DataFrame) -> None:
    every, half_hours = service_features(wide), service_features(wide, phases=(0,))
    assert half_hours.equals(every.filter(pl.col("ts").dt.epoch("s") % 1800 == 0))
    assert every.height == wide.height


def test_a_steady_rise_reaches_its_limit_when_it_says_so() -> None:
    level = pl.Series("level", [0.5] * 20 + [0.5 + 0.02 * step for step in range(1, 16)])
    since = windows.hours_since_shares(pl.col("level"), {"half": 0.5}, 72, 2.0).struct.field("half")
    hours = pl.DataFrame([level]).select(since).to_series()
    assert hours[-1] == pytest.approx(0.5 * 15 / 2)


def test_lines_are_those_of_least_squares_and_no_value_missing_or_before_them_counts() -> None:
    rng = np.random.default_rng(5)
    level = 0.2 + 0.001 * np.arange(60) + rng.normal(0, 0.01, 60)
    level[[41, 52, 59]] = np.nan
    made = windows.lines(pl.Series(level).fill_nan(None), np.array([12, 59]), (1, 3), 12)
    steps = np.arange(47, 60)
    known = ~np.isnan(level[47:])
    slope, now = np.polyfit((steps[known] - 59) / 12, level[47:][known], 1)
    strays = np.std(level[47:][known] - now - slope * (steps[known] - 59) / 12)
    assert [made[f"{name}_1"][1] for name in ("level", "slope", "strays")] == pytest.approx(
        [now, slope, strays], abs=1e-12
    )
    assert made["slope_3"][0] is None


def test_the_first_resource_is_told_by_its_name(wide: pl.DataFrame) -> None:
    moment = service_features(wide, phases=(0,))[-1].to_dicts()[0]
    names = tuple(f"{slot}_{family}" for slot in ("first", *FILLING) for family in ("level_15m", "way_15m"))
    fullest = [slot for slot in FILLING if moment[f"{slot}_way_15m"] == moment["first_way_15m"]]
    values = np.array([moment[name] for name in names])
    contributions = np.array([2.0, *[0.0] * (len(names) - 1)])
    factors = reasons.factors_of(names, values, contributions, -3.0)
    assert (len(fullest), factors[0].name) == (1, "first_level_15m")
    assert factors[0].text.startswith(
        f"{describe_feature(f'{fullest[0]}_level_15m', moment['first_level_15m'])}; this "
    )


def test_what_is_usual_leaves_one_odd_day_out() -> None:
    days = pl.Series("level", [0.4, 0.4, 0.9, 0.4, 0.4])
    usual = pl.DataFrame([days]).select(windows.usual_at_this_time(pl.col("level"), 1, 7)).to_series()
    assert usual.to_list() == [None, *[pytest.approx(x) for x in (0.4, 0.4, 0.4, 0.4)]]


def test_an_unknown_feature_and_a_missing_column_are_named(wide: pl.DataFrame) -> None:
    with pytest.raises(InputError, match="no_such"):
        service_features(wide, ["no_such"])
    with pytest.raises(InvalidFrameError):
        service_features(wide.drop("memory"), ["memory_level_15m"])


def test_a_share_is_of_the_slo_first_and_then_of_the_limit() -> None:
    assert (
        scale_of(Series(tenant="t", service="a", metric="queue_depth", limit=200, slo_threshold=100)) == 100
    )
    assert scale_of(Series(tenant="t", service="a", metric="disk", limit=50)) == 50
    assert scale_of(Series(tenant="t", service="a", metric="disk")) is None


@pytest.mark.parametrize(
    ("metric", "slot"),
    [
        ("node_memory_used_bytes", "memory"),
        ("db_connections", "connections"),
        ("http_request_duration_seconds", "latency"),
        ("http_requests_total", "traffic"),
        ("kafka_consumer_lag", "queue"),
        ("something_else", None),
    ],
)
def test_the_slot_follows_from_the_name(metric: str, slot: str | None) -> None:
    one = Series(tenant="t", service="a", metric=metric)
    assert feature_slot(one.metric, one.role) == slot


def test_a_series_of_a_known_role_has_a_slot_whatever_its_name() -> None:
    assert feature_slot("apdex", Role.LATENCY) == "latency"


def test_dependencies_come_from_the_label() -> None:
    series = Series(tenant="t", service="a", metric="rps", labels={"depends_on": "b, c"})
    assert dependencies([series]) == {"a": ("b", "c")}


def test_a_deploy_counts_from_its_moment_on_and_not_before() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    deploy = Event(tenant="t", service="a", kind=EventKind.DEPLOY, at=start + timedelta(hours=1))
    series = Series(tenant="t", service="a", metric="cpu_utilization", limit=1.0)
    samples = pl.DataFrame(
        schema={"series_id": pl.Int64, "ts": pl.Datetime("us", "UTC"), "value": pl.Float64}
    )
    grid = fleet_grid(samples, [series], [deploy], start=start, end=start + timedelta(hours=2))
    ages = dict(grid.wide())["t/a"]["hours_since_deploy"].to_list()
    assert ages[11] == AGE_CAP_H
    assert ages[12] == 0.0
    assert ages[24] == 1.0


@pytest.mark.parametrize("name", FEATURE_NAMES)
def test_every_feature_can_be_told_in_words(name: str) -> None:
    """The reasons read the names; a feature whose name they cannot read would be told as a bare number."""
    feature = BY_NAME[name]
    for value in (max(feature.low, -1.0), min(feature.high, 2.0)):
        assert name not in describe_feature(name, value), name


def test_the_reasons_know_the_caps_of_the_features() -> None:
    assert feature_texts.HOURS_CAP == windows.HOURS_CAP
    assert feature_texts.AGE_CAP_H == AGE_CAP_H
