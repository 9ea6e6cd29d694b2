"""Labels: what came next, what is not known, and what nobody should learn from."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from core.domain import Incident, Severity
from models.failure.labels import fails_within, incident_frame, label

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def incident(service: str, start_h: float, end_h: float | None, kind: str = "memory_leak") -> Incident:
    return Incident(
        tenant="t",
        service=service,
        type=kind,
        severity=Severity.CRITICAL,
        start=START + start_h * HOUR,
        end=None if end_h is None else START + end_h * HOUR,
    )


def labelled(incidents: list[Incident], known_h: float = 48, service: str = "a") -> pl.DataFrame:
    moments = pl.DataFrame({"service_id": [f"t/{service}"] * 48, "ts": [START + h * HOUR for h in range(48)]})
    moments = moments.with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
    return label(moments, incident_frame(incidents), known_until=START + known_h * HOUR)


def test_the_time_to_the_next_failure_and_its_type_are_added() -> None:
    frame = labelled([incident("a", 20, 21), incident("a", 40, 41, "disk_full")])
    assert frame["failure_in_s"][10] == 10 * 3600
    assert frame["next_type"][10] == "memory_leak"
    assert frame["next_type"][30] == "disk_full"
    assert frame["failure_in_s"][45] is None


def test_moments_inside_an_incident_and_right_after_are_not_used() -> None:
    frame = labelled([incident("a", 20, 22)])
    assert frame["usable"][:20].all()
    assert not frame["usable"][20:23].any()
    assert frame["usable"][23:].all()


def test_a_long_incident_covers_a_short_one_within_it() -> None:
    frame = labelled([incident("a", 10, 30), incident("a", 12, 13)])
    assert not frame["usable"][10:31].any()


def test_an_incident_that_still_lasts_leaves_nothing_usable_after_it() -> None:
    assert not labelled([incident("a", 20, None)])["usable"][20:].any()


def test_incidents_of_other_services_do_not_count() -> None:
    assert labelled([incident("b", 20, 21)])["failure_in_s"].null_count() == 48


def test_an_incident_after_the_end_of_what_is_known_does_not_count() -> None:
    frame = labelled([incident("a", 40, 41)], known_h=30)
    assert frame["failure_in_s"].null_count() == 48


def test_the_end_of_the_data_is_unknown_and_not_calm() -> None:
    failure_in = np.array([np.inf, np.inf, 3600.0])
    known = np.array([7200.0, 10.0, 3600.0])
    outcome = fails_within(failure_in, known, 3600)
    assert outcome[0] == 0.0
    assert np.isnan(outcome[1])
    assert outcome[2] == 1.0


def test_the_order_of_the_moments_stays() -> None:
    moments = pl.DataFrame(
        {"service_id": ["t/b", "t/a", "t/b"], "ts": [START + 2 * HOUR, START, START + HOUR]}
    ).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
    frame = label(moments, incident_frame([incident("a", 5, 6)]), known_until=START + 9 * HOUR)
    assert frame.select("service_id", "ts").equals(moments)
    assert frame["failure_in_s"].to_list() == [None, 5 * 3600.0, None]
