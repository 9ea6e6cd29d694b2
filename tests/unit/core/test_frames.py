"""A frame that is not one of ours is refused by name of column and dtype."""

import polars as pl
import pytest

from core.errors import InvalidFrameError
from core.frames import SAMPLES, require_frame

EMPTY = pl.DataFrame(schema=dict(SAMPLES))


def test_columns_come_back_in_order_and_others_are_dropped() -> None:
    frame = EMPTY.with_columns(extra=pl.lit(1)).select("extra", "value", "ts", "series_id")
    assert require_frame(frame, SAMPLES).columns == ["series_id", "ts", "value"]


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (EMPTY.drop("ts"), "lacks column 'ts'; it has series_id, value"),
        (pl.DataFrame(), "lacks column 'series_id'; it has none"),
        (EMPTY.cast({"value": pl.Int64}), "column 'value' must be Float64, got Int64"),
        (EMPTY.cast({"ts": pl.Datetime("us")}), "column 'ts' must be Datetime"),
    ],
)
def test_the_error_names_the_column_and_the_dtype(frame: pl.DataFrame, told: str) -> None:
    with pytest.raises(InvalidFrameError, match=told.replace("(", r"\(")):
        require_frame(frame, SAMPLES)
