"""The fitted parts of a failure model."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import xgboost as xgb

from models.failure.calibration import Calibrator
from models.failure.remaining import RemainingTime


@dataclass(frozen=True, kw_only=True)
class FailureParts:
    """All that was fitted; the same parts give the same predictions.

    Attributes:
        names: features, in the order of the columns.
        horizons_s: ascending.
        base: probability of failure within each horizon by the plain rate of incidents; the answer without boosters.
        boosters: for each horizon some whose mean margin counts; empty where there were too few incidents.
        calibrators: one for each horizon.
        remaining: the hours to a failure that comes within the longest horizon.
        types: classifier of the next failure's type, null where there are too few of each; `type_names` its classes.
        alert_horizon_s: horizon whose probability is held against `alert_threshold`, and whose reasons are told.
        trust: weight of what was learned against the plain rate, in (0, 1]; under 1 with few failures.
        failures: how many it was learned from.
        notes: what a reader must know, such as how few failures there were.
        reliability: horizon -> rows of (mean said, share that happened, count) on held-out moments.
    """

    names: tuple[str, ...]
    horizons_s: tuple[int, ...]
    base: tuple[float, ...]
    alert_horizon_s: int
    boosters: tuple[tuple[xgb.Booster, ...], ...] = ()
    calibrators: tuple[Calibrator, ...] = ()
    remaining: RemainingTime | None = None
    types: xgb.Booster | None = None
    type_names: tuple[str, ...] = ()
    alert_threshold: float = 1.0
    trust: float = 1.0
    failures: int = 0
    notes: tuple[str, ...] = ()
    reliability: Mapping[int, tuple[tuple[float, float, float], ...]] = field(default_factory=dict)
