"""The type of a failure feature, and the time steps of all features."""

from dataclasses import dataclass

import polars as pl

from core.domain import DEFAULT_STEP_S
from core.durations import HOUR_S

PER_H = HOUR_S // DEFAULT_STEP_S
#: Features that read more than about an hour use one row for each half hour, counted back from the moment. This is six
#: times faster, and the features of a moment do not depend on the other moments that are computed.
RASTER_S = 1800
RASTER = RASTER_S // DEFAULT_STEP_S
ROWS_PER_H = HOUR_S // RASTER_S
ROWS_PER_DAY = 24 * ROWS_PER_H
#: Usual values come from so many days.
USUAL_DAYS = 7
#: History that the features of a moment need: the days of usual values, the day that is left out, the longest window,
#: and the day that a series without a limit is compared with.
LOOKBACK_H = (USUAL_DAYS + 3) * 24
#: Digits after the decimal point: as many as a share has in single precision, which models use.
DIGITS = 8


@dataclass(frozen=True)
class Feature:
    """One feature: a pure expression over the wide frame of a service.

    Attributes:
        slot: the part of the service that it describes: one of `SLOTS`, "upstream", "events" or "calendar".
        family: what it measures, such as "slope"; `models.words.feature` has a text for each family.
        window_h: how far it looks back, in hours; 0 for a fact of the present.
        low, high: its range; a value outside is an error in the code.
        stage: stage 0 reads each step of the wide frame; a later stage reads the features of earlier stages, for each
            half hour.
    """

    name: str
    expression: pl.Expr
    slot: str
    family: str
    window_h: float
    low: float = float("-inf")
    high: float = float("inf")
    stage: int = 0
