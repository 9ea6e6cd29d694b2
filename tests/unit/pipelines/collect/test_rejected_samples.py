"""Rows of rejected samples: written by `rejected_rows`, read by `read_rejected_sample`."""

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain import Series, SeriesKind
from core.frames import SAMPLES
from pipelines.collect.rejected_samples import read_rejected_sample
from pipelines.collect.validation import rejected_rows

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROW = {"series": "shop/latency", "series_id": 7, "ts": NOON.isoformat(), "value": 1.5}
TIMES = st.integers(0, 4_000_000_000_000_000).map(
    lambda us: datetime(1990, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
)


@given(
    labels=st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.text("ab,={}\n\"'ü", max_size=9)),
    ts=TIMES,
    value=st.floats(allow_nan=False, allow_infinity=False),
    kind=st.sampled_from(SeriesKind),
    counts=st.booleans(),
    is_known=st.booleans(),
)
def test_each_rejected_sample_is_read_as_it_was_sent(
    labels: dict[str, str], ts: datetime, value: float, kind: SeriesKind, counts: bool, is_known: bool
) -> None:
    series = Series(tenant="t", service="shop", metric="latency", labels=labels, kind=kind)
    bad = pl.DataFrame([(series.series_id, ts, value)], schema=SAMPLES, orient="row")
    known = {series.series_id: series} if is_known else {}
    rows = rejected_rows(bad.with_columns(reason=pl.lit("bad")), known, counts=counts)
    sample = read_rejected_sample(rows["row"][0])
    assert sample is not None
    is_rate = is_known and kind is SeriesKind.COUNTER and not counts
    assert sample.key == (series.series_id, ts, value, is_rate)


@pytest.mark.parametrize(
    "change",
    [
        {"ts": None},
        {"ts": "soon"},
        {"ts": "2026-03-02T12:00:00"},
        {"ts": 5},
        {"ts": "0001-01-01T00:00:00+14:00"},
        {"value": None},
        {"value": "inf"},
        {"value": "nan"},
        {"value": True},
        {"value": 10**400},
        {"series": None, "series_id": None},
        {"series_id": -1},
        {"series_id": 2**63},
        {"series_id": "7"},
    ],
)
def test_a_sample_that_can_never_be_stored_is_none(change: dict[str, object]) -> None:
    assert read_rejected_sample(json.dumps(ROW)) is not None
    assert read_rejected_sample(json.dumps(ROW | change)) is None


@pytest.mark.parametrize(
    "row",
    [
        "",
        "x",
        "[]",
        "7",
        "null",
        '{"series":',
        "[" * 100_000,
        '{"labels": {}}',
        '{"file": "a.csv", "line": 1}',
    ],
)
def test_another_row_is_no_sample(row: str) -> None:
    assert read_rejected_sample(row) is None


def test_a_row_of_an_older_release_has_only_a_name() -> None:
    old = {name: value for name, value in ROW.items() if name != "series_id"}
    sample = read_rejected_sample(json.dumps(old))
    assert sample is not None
    assert (sample.series_id, sample.series_name) == (None, "shop/latency")


def test_strange_values_of_other_fields_do_not_matter() -> None:
    odd = ROW | {"rate": "yes", "file": 7, "line": "x"}
    sample = read_rejected_sample(json.dumps(odd))
    assert sample is not None
    assert (sample.is_rate, sample.file, sample.line) == (False, None, None)
