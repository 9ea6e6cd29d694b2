"""Which samples are refused, and with what words."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain import Series, SeriesKind
from core.frames import SAMPLES
from pipelines.collect.validation import FUTURE_TOLERANCE_S, OLDEST, RATIO_TOLERANCE, validate_samples

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GAUGE = Series(tenant="t", service="cart", metric="cpu")
RATIO = Series(tenant="t", service="cart", metric="cpu_ratio", kind=SeriesKind.RATIO)
COUNTER = Series(tenant="t", service="cart", metric="hits_total", kind=SeriesKind.COUNTER)
KNOWN = {series.series_id: series for series in (GAUGE, RATIO, COUNTER)}


def one(series: Series, ts: datetime | None, value: float | None) -> pl.DataFrame:
    return pl.DataFrame([(series.series_id, ts, value)], schema=SAMPLES, orient="row")


@pytest.mark.parametrize(
    ("series", "ts", "value", "reason"),
    [
        (Series(tenant="t", service="x", metric="y"), NOW, 1.0, "is not a known series"),
        (GAUGE, None, 1.0, "ts is missing"),
        (GAUGE, NOW + timedelta(seconds=FUTURE_TOLERANCE_S + 1), 1.0, "is in the future"),
        (GAUGE, datetime(1970, 1, 21, tzinfo=UTC), 1.0, "before 1990"),
        (GAUGE, NOW, None, "value is missing"),
        (GAUGE, NOW, float("nan"), "value NaN is not a finite number"),
        (GAUGE, NOW, float("-inf"), "value -inf is not a finite number"),
        (RATIO, NOW, 1.5, "value 1.5 is outside 0 to 1"),
        (COUNTER, NOW, -1.0, "value -1.0 is below 0"),
    ],
)
def test_a_sample_that_makes_no_sense_is_refused_with_its_reason(
    series: Series, ts: datetime | None, value: float | None, reason: str
) -> None:
    checked = validate_samples(one(series, ts, value), KNOWN, NOW)
    assert checked.accepted.is_empty()
    assert reason in checked.rejected["reason"].item()
    json.loads(checked.rejected["row"].item())


@pytest.mark.parametrize(
    ("series", "ts", "value"),
    [
        (GAUGE, NOW + timedelta(seconds=FUTURE_TOLERANCE_S), -5.0),
        (GAUGE, datetime(2014, 2, 14, tzinfo=UTC), 1e300),
        (RATIO, NOW, 1.0 + 1e-12),
        (RATIO, NOW, 0.0),
        (COUNTER, NOW, 0.0),
    ],
)
def test_a_sample_that_makes_sense_is_accepted(series: Series, ts: datetime, value: float) -> None:
    sample = one(series, ts, value)
    checked = validate_samples(sample, KNOWN, NOW)
    assert checked.accepted.equals(sample)
    assert checked.rejected.is_empty()


def test_nothing_is_known_means_everything_is_refused() -> None:
    assert validate_samples(one(GAUGE, NOW, 1.0), {}, NOW).rejected.height == 1


def test_no_samples_are_no_trouble() -> None:
    checked = validate_samples(pl.DataFrame(schema=SAMPLES), {}, NOW)
    assert checked.accepted.is_empty()
    assert checked.rejected.is_empty()


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([1, 2, 3, 9, None]),
            st.sampled_from(
                [
                    OLDEST - timedelta(microseconds=1),
                    OLDEST,
                    NOW,
                    NOW + timedelta(seconds=FUTURE_TOLERANCE_S),
                    NOW + timedelta(seconds=FUTURE_TOLERANCE_S, microseconds=1),
                    None,
                ]
            ),
            st.none()
            | st.floats()
            | st.sampled_from([-0.0, 1 + RATIO_TOLERANCE, 1 + 2e-9, -RATIO_TOLERANCE, -2e-9]),
        ),
        max_size=3,
    )
)
def test_a_frame_is_taken_whole_exactly_if_each_of_its_rows_is_taken(rows: list[tuple[object, ...]]) -> None:
    """A frame without errors takes a shorter way; one row with an error beside them must not change the others."""
    kinds = (SeriesKind.GAUGE, SeriesKind.COUNTER, SeriesKind.RATIO)
    series = {
        number: Series(tenant="t", service="s", metric="m", kind=kind) for number, kind in enumerate(kinds, 1)
    }
    bad = (9, NOW, 1.0)
    frame = pl.DataFrame(rows, schema=SAMPLES, orient="row")
    beside = pl.DataFrame([*rows, bad], schema=SAMPLES, orient="row")
    found, expected = validate_samples(frame, series, NOW), validate_samples(beside, series, NOW)
    assert found.accepted.equals(expected.accepted)
    assert found.rejected.rows() == expected.rejected.rows()[:-1]
