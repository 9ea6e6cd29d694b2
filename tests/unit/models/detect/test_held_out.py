"""Held-out values that nothing is learned from do not count."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from core.frames import EXCLUSIONS, TIME
from models.detect.held_out import _is_quiet

START = datetime(2026, 1, 5, tzinfo=UTC)
SERVICES = {1: "checkout", 2: "checkout", 3: "search"}


def exclusions(rows: list[tuple[str, int, int]]) -> pl.DataFrame:
    """Spans in minutes after the start."""
    times = [(name, START + timedelta(minutes=a), START + timedelta(minutes=b)) for name, a, b in rows]
    return pl.DataFrame(times, schema=dict(EXCLUSIONS), orient="row")


def scored(steps: int) -> pl.DataFrame:
    ts = pl.DataFrame({"ts": [START + timedelta(minutes=5 * n) for n in range(steps)]})
    return pl.DataFrame({"series_id": list(SERVICES)}).join(ts.cast(TIME), how="cross")


def test_a_value_is_quiet_outside_all_exclusions_of_its_service() -> None:
    rng = np.random.default_rng(1)
    spans = [
        (str(rng.choice(["checkout", "search", "*", "another"])), int(at), int(at) + int(rng.integers(0, 40)))
        for at in rng.integers(0, 900, 25)
    ]
    frame = scored(200)
    found = _is_quiet(frame, SERVICES, exclusions(spans))
    wanted = [
        not any(
            name in ("*", SERVICES[key]) and a <= (ts - START).total_seconds() / 60 <= b
            for name, a, b in spans
        )
        for key, ts in frame.rows()
    ]
    assert found.tolist() == wanted
    assert 0 < sum(wanted) < frame.height


def test_exclusions_of_thousands_of_other_services_cost_nothing() -> None:
    others = [(f"service-{number}", 0, 60) for number in range(20_000)]
    assert _is_quiet(scored(300), SERVICES, exclusions(others)).all()
