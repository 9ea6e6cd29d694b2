"""The forecasters of a fleet together with what its past breaches taught: one version in the registry."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from models.breach.backtest import find_breaches
from models.breach.cascade import CascadeModel
from models.breach.correction import BreachCorrection
from models.breach.outlook import BreachPattern, Outlook, breach_outlook
from models.forecast import files as forecast_files
from models.forecast.bundle import ForecasterBundle, Prediction
from models.forecast.protocols import FloatArray
from models.series.thresholds import is_past, is_upward

#: The level is the median of so many of the newest samples: one bad sample is no breach.
NEWEST_SAMPLES = 3
HOUR = timedelta(hours=1)
BREACHES = "breaches.json"


class BreachBundle:
    """Predicts for each series its course, and when it crosses its threshold. Safe to use from several threads.

    Args:
        forecasters: they know nothing of thresholds.
        correction: how predictions of past breaches have to be corrected.
        cascades: which breaches follow others.
    """

    def __init__(
        self,
        forecasters: ForecasterBundle,
        *,
        correction: BreachCorrection | None = None,
        cascades: CascadeModel | None = None,
    ) -> None:
        self.forecasters = forecasters
        self.correction = correction or BreachCorrection()
        self.cascades = cascades or CascadeModel()

    def outlook(
        self, series_id: int, recent: pl.DataFrame, now: datetime
    ) -> tuple[Prediction, Outlook | None]:
        """The forecast of one series, and what it means for its threshold; the same for the same moment.

        Args:
            recent: `core.frames.SAMPLES` since the bundle was made, and of two hours before `now`; other series are
                ignored.
        Returns:
            The outlook is null where the series has no threshold.
        Raises:
            InsufficientDataError: the history has fewer than two values.
            UnknownSeriesError: the bundle does not hold that series.
        """
        entry = self.forecasters.entry(series_id)
        series = entry.series
        recent = recent.filter(pl.col("series_id") == series_id)
        history = self.forecasters.present(entry, recent, now)
        prediction = self.forecasters.predict(series_id, history)
        newest = history.values[np.isfinite(history.values)][-1]
        known = recent.filter(pl.col("ts") < now, pl.col("value").is_finite())
        seconds, values = (
            known.get_column("ts").dt.epoch("us").to_numpy() / 1e6,
            known.get_column("value").to_numpy(),
        )
        level = _level(seconds, values, now, float(newest))
        impact_level = self.cascades.impact_level(series)
        rng = np.random.default_rng([self.forecasters.parts.seed, series_id % 2**32, int(now.timestamp()), 1])
        outlook = breach_outlook(
            series,
            history,
            self.forecasters.paths(prediction),
            level=level,
            an_hour_ago=_level(seconds, values, now - HOUR, level),
            rng=rng,
            at=now,
            impact_level=impact_level,
        )
        if outlook is None or impact_level is None:
            return prediction, None
        impact_since = _since(seconds, values, impact_level, level, upward=is_upward(series))
        felt = outlook.felt
        if impact_since is None:
            # What is past its threshold and has no impact yet goes on filling.
            onwards = BreachPattern.FILL if outlook.pattern is BreachPattern.OVER else outlook.pattern
            felt = self.correction.correct(felt, series, onwards, now)
        breach = self.correction.correct(outlook.breach, series, outlook.pattern, now)
        return prediction, replace(outlook, breach=breach, felt=felt, impact_since=impact_since)

    def predict_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Forecast the series that `frame` has samples of, see `ForecasterBundle.predict_frame`."""
        return self.forecasters.predict_frame(frame)

    def to_files(self) -> dict[str, bytes]:
        """Named files without pickles: those of the forecasters, and one for breaches."""
        return self.forecasters.to_files() | breach_files(self.correction, self.cascades)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "BreachBundle":
        """The bundle that `to_files` wrote; also one of the release before, which had no file for breaches.

        Raises:
            ModelUnavailableError: the files have another format.
        """
        forecasters = ForecasterBundle.from_files(files)
        if BREACHES in files:
            learned = json.loads(files[BREACHES])
        else:
            meta = json.loads(files[forecast_files.META])
            learned = {"correction": meta.get("hindsight"), "cascades": meta.get("knock_ons")}
        return cls(
            forecasters,
            correction=BreachCorrection.from_json(learned["correction"]) if learned["correction"] else None,
            cascades=CascadeModel.from_json(learned["cascades"]) if learned["cascades"] else None,
        )


def breach_files(correction: BreachCorrection, cascades: CascadeModel) -> dict[str, bytes]:
    """What was learned from past breaches, as the file that a bundle keeps it in."""
    learned = {"correction": correction.to_json(), "cascades": cascades.to_json()}
    return {BREACHES: json.dumps(learned, sort_keys=True).encode()}


def _since(
    seconds: FloatArray, values: FloatArray, edge: float, level: float, *, upward: bool
) -> datetime | None:
    """When a series came to where it is, at `edge` or on its bad side; null where it is on the good side."""
    if not is_past(np.array([level]), edge, upward=upward)[0]:
        return None
    smooth = pl.Series(values).rolling_median(NEWEST_SAMPLES, min_samples=1).to_numpy()
    came = find_breaches(seconds, smooth, edge, upward=upward)
    # Over from the first value on: since then at the latest.
    first = came[-1] if len(came) else seconds[0] if len(seconds) else 0.0
    return datetime.fromtimestamp(float(first), UTC)


def _level(seconds: FloatArray, values: FloatArray, at: datetime, otherwise: float) -> float:
    """The median of the last samples of the hour before `at`: one bad sample is not a breach."""
    first, last = np.searchsorted(seconds, [(at - HOUR).timestamp(), at.timestamp()])
    return float(np.median(values[first:last][-NEWEST_SAMPLES:])) if first < last else otherwise
