"""The simulated fleet: the same every time, honest about its truth, and never ahead of it."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from core.domain import EventKind
from core.errors import InputError
from core.frames import SAMPLES, require_frame
from pipelines.sources.simulated import SimulatedFleet

END = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def fleet() -> SimulatedFleet:
    return SimulatedFleet(services=9, days=12, seed=5, end=END)


def values(fleet: SimulatedFleet, service: str, metric: str) -> pl.DataFrame:
    found = next(s for s in fleet.series if (s.service, s.metric) == (service, metric))
    return fleet.samples.filter(pl.col("series_id") == found.series_id)


def test_the_same_arguments_give_the_same_samples(fleet: SimulatedFleet) -> None:
    again = SimulatedFleet(services=9, days=12, seed=5, end=END)
    assert again.samples.equals(fleet.samples)
    assert again.truth == fleet.truth


def test_another_seed_gives_another_fleet(fleet: SimulatedFleet) -> None:
    assert SimulatedFleet(services=9, days=12, seed=6, end=END).truth != fleet.truth


def test_the_first_services_do_not_depend_on_how_many_there_are(fleet: SimulatedFleet) -> None:
    small = SimulatedFleet(services=3, days=12, seed=5, end=END)
    ids = [series.series_id for series in small.series]
    assert fleet.samples.filter(pl.col("series_id").is_in(ids)).equals(small.samples)


def test_the_batches_hold_all_samples_events_and_incidents_once(fleet: SimulatedFleet) -> None:
    batches = list(fleet.batches(None))
    samples = pl.concat([batch.samples for batch in batches if batch.samples is not None])
    assert samples.equals(fleet.samples)
    assert [event for batch in batches for event in batch.events] == fleet.events
    assert [incident for batch in batches for incident in batch.incidents] == fleet.incidents


def test_reading_goes_on_after_a_cursor(fleet: SimulatedFleet) -> None:
    batches = list(fleet.batches(None))
    rest = list(fleet.batches(batches[0].cursor))
    assert [batch.cursor for batch in rest] == [batch.cursor for batch in batches[1:]]


def test_every_sample_is_finite_in_time_and_within_its_limit(fleet: SimulatedFleet) -> None:
    samples = require_frame(fleet.samples, SAMPLES)
    assert samples.get_column("value").is_finite().all()
    assert samples.get_column("ts").is_between(fleet.start, END).all()
    assert samples.select(pl.struct("series_id", "ts").is_duplicated().any()).item() is False
    limits = pl.DataFrame(
        [(s.series_id, s.limit) for s in fleet.series if s.limit is not None],
        schema={"series_id": pl.Int64, "limit": pl.Float64},
        orient="row",
    )
    assert samples.join(limits, on="series_id").select((pl.col("value") <= pl.col("limit")).all()).item()


def test_some_samples_are_missing_but_few(fleet: SimulatedFleet) -> None:
    missing = 1 - fleet.samples.height / (fleet.steps * len(fleet.series))
    assert 0.003 < missing < 0.05


def test_nothing_of_the_future_is_handed_over(fleet: SimulatedFleet) -> None:
    assert max(event.at for event in fleet.events) <= END
    assert max(incident.start for incident in fleet.incidents) <= END
    assert all(incident.end is None or incident.end <= END for incident in fleet.incidents)


def test_the_disk_of_checkout_is_filling_at_the_end_and_full_four_hours_later(fleet: SimulatedFleet) -> None:
    full = next(i for i in fleet.truth.incidents if i.service == "checkout" and i.start > END)
    assert full.type == "disk_full"
    assert timedelta(hours=4) < full.start - END < timedelta(hours=4, minutes=30)
    disk = values(fleet, "checkout", "disk_used_bytes")
    limit = next(
        s.limit for s in fleet.series if (s.service, s.metric) == ("checkout", "disk_used_bytes") and s.limit
    )
    assert 0.6 < disk["value"][-1] / limit < 0.99


def test_a_full_disk_is_full_when_its_incident_begins() -> None:
    fleet = SimulatedFleet(services=9, days=30, seed=11, end=END)
    full = [i for i in fleet.incidents if i.type == "disk_full" and i.start < END - timedelta(hours=1)]
    assert full
    for incident in full:
        limit = next(
            s.limit
            for s in fleet.series
            if (s.service, s.metric) == (incident.service, "disk_used_bytes") and s.limit
        )
        near = values(fleet, incident.service, "disk_used_bytes").filter(
            pl.col("ts").is_between(incident.start - timedelta(minutes=30), incident.start)
        )
        if near.height:
            assert near["value"][-1] / limit > 0.85


def test_some_precursors_come_to_nothing() -> None:
    truth = SimulatedFleet(services=20, days=45, seed=5, end=END).truth
    slow = [p for p in truth.precursors if p.until - p.start > timedelta(hours=2)]
    stopped = [p for p in slow if p.fails_at is None]
    assert 0.1 < len(stopped) / len(slow) < 0.5
    assert len(truth.incidents) > 100


def test_planned_events_are_of_every_kind(fleet: SimulatedFleet) -> None:
    assert {event.kind for event in fleet.events} == set(EventKind) - {EventKind.HOLIDAY} - {
        EventKind.HOLIDAY
    }


@pytest.mark.parametrize(("services", "days", "step_s"), [(0, 45, 300), (20, 0, 300), (20, 45, 7)])
def test_arguments_without_sense_are_refused(services: int, days: int, step_s: int) -> None:
    with pytest.raises(InputError):
        SimulatedFleet(services, days, end=END, step_s=step_s)


def test_a_run_of_short_log_rotations_lasts_to_the_end_all_the_same() -> None:
    fleet = SimulatedFleet(
        services=20, days=45, seed=208, end=END
    )  # one disk in it rotates quickly throughout
    disks = [series.series_id for series in fleet.series if series.metric == "disk_used_bytes"]
    lasts = (
        fleet.samples.group_by("series_id").agg(pl.col("ts").max()).filter(pl.col("series_id").is_in(disks))
    )
    assert (lasts.get_column("ts") > END - timedelta(hours=3)).sum() == len(disks)
