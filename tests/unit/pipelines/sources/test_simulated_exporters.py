"""The simulated exporters: the seed determines everything, and counters, histograms and truth are consistent."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from core.domain import EventKind
from core.errors import InputError
from pipelines.sources.sidecars import read_sidecars
from pipelines.sources.simulation.exporters.blackbox import expiry
from pipelines.sources.simulation.exporters.clock import CHUNK_S
from pipelines.sources.simulation.exporters.company import FleetSize
from pipelines.sources.simulation.exporters.files import events_csv, openmetrics, page_text, truth
from pipelines.sources.simulation.exporters.fleet import ExporterFleet, Recorder, Scrapes, accumulate
from pipelines.sources.simulation.exporters.incidents import PRECURSOR_H

#: 2026-11-29 12:00 UTC.
END = 1795953600
STEP_S = 300


def small_fleet(**changes: int) -> ExporterFleet:
    """One day of a few hosts and services."""
    size = FleetSize(hosts=changes.pop("hosts", 2), services=changes.pop("services", 2), pods=1)
    return ExporterFleet(size, days=1, end=END, step_s=STEP_S, **changes)


@cache
def one_day() -> tuple[ExporterFleet, dict[str, dict[int, float]]]:
    """The fleet, and its samples by series and time."""
    fleet = small_fleet()
    samples: dict[str, dict[int, float]] = {}
    for scrapes in fleet.history(Recorder(fleet)):
        assert len(set(scrapes.series)) == len(scrapes.series), "a series has one row in a chunk"
        for series, row in zip(scrapes.series, scrapes.values, strict=True):
            there = ~np.isnan(row)
            samples.setdefault(series, {}).update(
                zip(scrapes.times[there].tolist(), row[there].tolist(), strict=True)
            )
    return fleet, samples


def selected(selector: str) -> Iterator[str]:
    """The series that a selector without regular expressions matches."""
    name, wanted = selector.rstrip("}").split("{")
    pairs = set(re.findall(r'[a-z_]+="[^"]*"', wanted))
    for series in one_day()[1]:
        own, labels = series.rstrip("}").split("{", 1)
        if own == name and pairs <= set(re.findall(r'[a-z_]+="[^"]*"', labels)):
            yield series


def first_chunk(fleet: ExporterFleet) -> Scrapes:
    return next(fleet.history(Recorder(fleet)))


def test_the_same_seed_gives_the_same_text_and_another_seed_another() -> None:
    texts = [openmetrics(first_chunk(small_fleet(seed=seed))) for seed in (1, 1, 2)]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    assert texts[0].endswith("# EOF\n")


def test_counters_fall_only_where_the_process_the_server_or_the_host_restarted() -> None:
    fleet, samples = one_day()
    recorder = Recorder(fleet)
    _, rendered = recorder.render(fleet.chunks[0])
    counters = {family.name for one in rendered for family in one.families if family.since}
    restarts = {moment for moments in fleet.timeline.restarts.values() for moment in moments}
    restarts |= {one.impact for one in fleet.timeline.incidents if one.type == "memory_leak"}
    checked = 0
    for series, history in samples.items():
        if series.split("{")[0] in counters:
            moments = sorted(history)
            values = np.array([history[moment] for moment in moments])
            assert (values >= 0).all(), series
            for index in np.flatnonzero(np.diff(values) < 0).tolist():
                assert any(moments[index] < one <= moments[index + 1] for one in restarts), series
            checked += 1
    assert checked > 1000


def test_the_buckets_of_a_histogram_are_cumulative_and_end_with_its_count() -> None:
    _, samples = one_day()
    found: dict[str, list[tuple[float, dict[int, float]]]] = {}
    for series, history in samples.items():
        if "_bucket{" in series:
            edge = re.search(r',le="([^"]+)"', series)
            assert edge is not None
            found.setdefault(series.replace(edge[0], ""), []).append((float(edge[1]), history))
    assert found
    for name, buckets in found.items():
        rows = np.array([list(history.values()) for _, history in sorted(buckets, key=lambda one: one[0])])
        assert (np.diff(rows, axis=0) >= 0).all(), name
        assert list(samples[name.replace("_bucket{", "_count{")].values()) == rows[-1].tolist()


def test_the_truth_has_an_incident_of_each_type_and_names_series_that_exist() -> None:
    fleet, samples = one_day()
    past = [one for one in fleet.timeline.incidents if one.impact < fleet.end]
    assert {one.type for one in past} == set(PRECURSOR_H)
    for one in past:
        for selector in one.series:
            during = [t for series in selected(selector) for t in samples[series] if one.start <= t < one.end]
            assert during, f"{one.type}: {selector}"


def test_an_incident_shows_in_its_series() -> None:
    fleet, samples = one_day()
    for one in fleet.timeline.incidents:
        if one.impact >= fleet.end:
            continue
        before, during = (
            [
                [value for t, value in samples[series].items() if start <= t < end]
                for series in selected(one.series[0])
            ]
            for start, end in ((fleet.start, one.start), (one.impact, one.end + STEP_S))
        )
        if one.type == "disk_full":
            assert min(during[0]) < 0.02 * min(before[0])
        elif one.type == "pool_exhaustion":
            assert max(during[0]) > 180 > 100 > max(before[0])
        elif one.type == "dead_exporter":
            assert min(during[0]) == 0.0
        elif one.type == "consumer_lag":
            assert max(during[0]) > 5 * np.median(before[0])
        elif one.type == "memory_leak":
            limit = next(app.memory_limit for app in fleet.company.apps if app.name == one.service)
            leaked = [
                v for name in selected(one.series[0]) for t, v in samples[name].items() if t < one.impact
            ]
            assert max(leaked) > 0.9 * limit


def test_each_certificate_of_the_truth_expires_at_the_impact_and_is_renewed_at_the_end() -> None:
    fleet = ExporterFleet(FleetSize(hosts=1, services=1, pods=1), days=60, end=END)
    found = [one for one in fleet.timeline.incidents if one.type == "certificate_expiry"]
    assert len(found) > 4
    for one in found:
        for moment, days_left in ((one.start + 3600, (1, 21)), (one.impact, (-1, 0)), (one.end, (60, 91))):
            world = fleet.world(moment // CHUNK_S)
            left = (expiry(world, one.entity) - world.chunk.times) / 86400
            now = left[int(np.searchsorted(world.chunk.times, moment))]
            assert days_left[0] <= now <= days_left[1], (one, days_left)


def test_each_type_of_incident_comes_once_in_the_day_after_the_history() -> None:
    for days in (1, 30, 45):
        fleet = ExporterFleet(FleetSize(), days=days, end=END)
        later = [one.type for one in fleet.timeline.incidents if one.impact >= fleet.end]
        assert sorted(later) == sorted(PRECURSOR_H)


def test_counters_begin_at_zero_after_a_reset() -> None:
    increments = np.array([[1.0, 2.0, 3.0, 4.0]])
    assert accumulate(increments, np.array([10.0]), []).tolist() == [[11.0, 13.0, 16.0, 20.0]]
    assert accumulate(increments, np.array([10.0]), [2]).tolist() == [[11.0, 13.0, 3.0, 7.0]]
    assert accumulate(increments, np.array([10.0]), [0]).tolist() == [[1.0, 3.0, 6.0, 10.0]]


def test_the_options_change_the_number_of_series() -> None:
    counts = [
        len(first_chunk(small_fleet(hosts=hosts, services=services)).series)
        for hosts, services in ((1, 1), (1, 3), (8, 3))
    ]
    assert counts[0] < counts[1] < counts[2]
    with pytest.raises(InputError, match="hosts"):
        FleetSize(hosts=0)


def test_a_live_page_continues_where_the_history_ended() -> None:
    fleet = ExporterFleet(FleetSize(hosts=2, services=1, pods=1), days=0.1, end=END, step_s=STEP_S)
    recorder = Recorder(fleet)
    *_, last = fleet.history(recorder)
    world, rendered = recorder.render(fleet.chunks[-1])
    step = world.chunk.times.tolist().index(int(last.times[-1]))
    page = page_text(next(one for one in rendered if one.target.path == "node/web1"), step)
    row = next(i for i, name in enumerate(last.series) if name.startswith('node_load1{instance="web1'))
    assert f"node_load1 {last.values[row, -1]}" in page.splitlines()
    assert "# TYPE node_cpu_seconds_total counter" in page
    assert page.count("# TYPE node_cpu_seconds_total ") == 1


def test_a_consumer_group_is_behind_its_topic_by_its_lag() -> None:
    _, samples = one_day()
    labels = 'partition="0",topic="orders",instance="db1:9308",job="kafka"'
    lag = samples[f'kafka_consumergroup_lag{{consumergroup="billing",{labels}}}']
    group = samples[f'kafka_consumergroup_current_offset{{consumergroup="billing",{labels}}}']
    topic = samples[f"kafka_topic_partition_current_offset{{{labels}}}"]
    assert max(lag.values()) > 10 * np.median(list(lag.values()))
    assert all(topic[t] - group[t] <= lag[t] for t in lag)
    exact = [topic[t] - group[t] == lag[t] for t in lag]
    assert np.mean(exact) > 0.8


def test_complete_pages_have_the_metrics_that_hardly_change() -> None:
    plain, full = (
        ExporterFleet(FleetSize(hosts=1, services=1, pods=1, is_complete=complete), days=0.1, end=END)
        for complete in (False, True)
    )
    names = [{series.split("{")[0] for series in first_chunk(fleet).series} for fleet in (plain, full)]
    assert names[0] < names[1]
    assert {"node_netstat_Udp_InErrors", "pg_settings_block_size", "redis_cluster_enabled"} <= names[
        1
    ] - names[0]


def test_load_follows_local_time_the_weekend_and_the_holiday() -> None:
    fleet = ExporterFleet(FleetSize(), days=30, end=END)
    calendar = fleet.timeline.calendar
    assert calendar.change_at is not None
    assert calendar.holiday is not None
    hours = np.arange(fleet.start, fleet.end, 3600)
    load = calendar.load(hours, peak_hour=14, swing=0.5, weekend=0.6)
    peaks = hours[:-1][load[:-1] >= np.roll(load, 1)[:-1]]
    utc_hours = [
        {t % 86400 // 3600 for t in peaks if (t < calendar.change_at) == before} for before in (True, False)
    ]
    assert 13 in utc_hours[0]
    assert 12 in utc_hours[1]
    assert 13 not in utc_hours[1]
    noon = np.array([calendar.holiday, calendar.holiday + 7 * 86400]) + 12 * 3600
    quiet, usual = calendar.load(noon, peak_hour=14, swing=0.5, weekend=0.6)
    assert quiet < 0.5 * usual


def test_the_events_are_read_as_a_sidecar_file_and_the_truth_knows_what_is_no_incident(
    tmp_path: Path,
) -> None:
    fleet = ExporterFleet(FleetSize(), days=30, end=END)
    (tmp_path / "events.csv").write_text(events_csv(fleet))
    read = read_sidecars(tmp_path, "default")
    assert read.rejected.is_empty()
    kinds = {event.kind for event in read.events}
    assert kinds == {EventKind.DEPLOY, EventKind.CONFIG_CHANGE, EventKind.HOLIDAY}
    known = truth(fleet)["not_incidents"]
    assert isinstance(known, list)
    assert {one["kind"] for one in known} == {
        "clock_change",
        "decommissioned_host",
        "feature_flag",
        "holiday",
        "prometheus_restart",
        "resized_disk",
    }


def test_a_large_fleet_has_about_30000_series() -> None:
    fleet = ExporterFleet(FleetSize(hosts=32, services=20, pods=5), days=1, end=END, step_s=3600)
    assert 25_000 < len(first_chunk(fleet).series) < 33_000
