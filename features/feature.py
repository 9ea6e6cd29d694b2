"""What a failure feature is, and the steps that all of them are made in."""

from dataclasses import dataclass

import polars as pl

from core.domain import DEFAULT_STEP_S
from core.durations import HOUR_S

PER_H = HOUR_S // DEFAULT_STEP_S
#: What looks further back than an hour or so reads one row in half an hour, at the minutes of the moment itself:
#: the values of a moment are the same whichever other moments are asked for, and six times cheaper.
RASTER_S = 1800
RASTER = RASTER_S // DEFAULT_STEP_S
ROWS_PER_H = HOUR_S // RASTER_S
ROWS_PER_DAY = 24 * ROWS_PER_H
#: How many days back a feature looks for what is usual.
USUAL_DAYS = 7
#: History that a moment's features need: what is usual, the day left out of it, the longest window, and the day that
#: a series without a limit is compared with.
LOOKBACK_H = (USUAL_DAYS + 3) * 24
#: Digits after the point: as many as a share of a limit has in single precision, which is what models read.
DIGITS = 8


@dataclass(frozen=True)
class Feature:
    """One feature: a pure expression over a service's wide frame.

    Attributes:
        slot: the part of the service it speaks of: one of `SLOTS`, "upstream", "events" or "calendar".
        family: what it measures, such as "slope"; `models.failure.reasons` tells it in words by this.
        window_h: how far it looks back, in hours, 0 for a present fact.
        low, high: its range; a value outside is a defect.
        stage: 0 reads the wide frame, step by step; a later stage reads the features of the stages before it, half
            hour by half hour.
    """

    name: str
    expression: pl.Expr
    slot: str
    family: str
    window_h: float
    low: float = float("-inf")
    high: float = float("inf")
    stage: int = 0
