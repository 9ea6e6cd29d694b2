"""Times in the forms in which they come."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.times import parse_times

MOMENT = datetime(2026, 1, 5, 6, 7, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-05 06:07:08",
        "2026-01-05T06:07:08",
        "2026-01-05T06:07:08Z",
        "2026-01-05T06:07:08.000Z",
        "2026-01-05T07:07:08+01:00",
        "2026-01-05 07:07:08+0100",
        "2026/01/05 06:07:08",
        " 2026-01-05 06:07:08 ",
        "1767593228",
        "1767593228000",
        "1767593228000000",
        "1767593228000000000",
        "1767593228.0",
        "5.1.2026 06:07:08",
        "05.01.26 06:07:08",
        "5 Jan 2026 06:07:08",
        "05-Jan-2026 06:07:08",
        "05/Jan/2026:06:07:08 +0000",
        "January 5, 2026 6:07:08 AM",
        "Mon, 05 Jan 2026 06:07:08 GMT",
        "2026-01-05 06:07:08 +0000 UTC",
        "2026-01-05 06:07:08,000",
        "20260105T060708Z",
    ],
)
def test_a_time_is_understood_in_each_usual_form(text: str) -> None:
    assert parse_times(pl.Series([text])).to_list() == [MOMENT]


def test_minutes_and_dates_are_times() -> None:
    assert parse_times(pl.Series(["2026-01-05 06:07", "2026-01-05"])).to_list() == [
        MOMENT.replace(second=0),
        MOMENT.replace(hour=0, minute=0, second=0),
    ]


@pytest.mark.parametrize("text", ["soon", "", "2026-13-01", "05/01/2026", "2026-01-05 25:00", "1e400", "nan"])
def test_what_is_no_time_is_null(text: str) -> None:
    assert parse_times(pl.Series([text])).to_list() == [None]


def test_forms_may_be_mixed_in_one_column() -> None:
    column = pl.Series(["2026-01-05 06:07:08", None, "1767593228", "2026-01-05T06:07:08Z"])
    assert parse_times(column).to_list() == [MOMENT, None, MOMENT, MOMENT]


def test_typed_columns_are_taken_as_they_are() -> None:
    assert parse_times(pl.Series([date(2026, 1, 5)])).to_list() == [datetime(2026, 1, 5, tzinfo=UTC)]
    naive = pl.Series([MOMENT.replace(tzinfo=None)], dtype=pl.Datetime("ns"))
    assert parse_times(naive).to_list() == [MOMENT]
    zoned = pl.Series([MOMENT], dtype=pl.Datetime("ms", "UTC")).dt.convert_time_zone("Europe/Berlin")
    assert parse_times(zoned).to_list() == [MOMENT]
    assert parse_times(pl.Series([1767593228])).to_list() == [MOMENT]
    assert parse_times(pl.Series([timedelta(days=1)])).to_list() == [None]


@given(st.integers(min_value=100_000_000, max_value=4_000_000_000))
def test_whole_seconds_are_exact(seconds: int) -> None:
    expected = datetime.fromtimestamp(seconds, UTC)
    assert parse_times(pl.Series([str(seconds), str(seconds * 1000)])).to_list() == [expected, expected]
