"""The bundle of one version: the forecasters of a fleet, with the correction and the cascades of its past breaches."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl

from core.arrays import FloatArray
from core.cache import NewestBySeries
from core.domain import Series
from core.durations import HOUR
from models.breach.backtest import find_breaches
from models.breach.cascade import CascadeModel
from models.breach.correction import BreachCorrection
from models.breach.fleet import BREACHES, ForecastFleet, cascades_of, learned_of_breaches
from models.breach.growth import Present
from models.breach.outlook import BreachOutlook, BreachPattern, SeriesPast, predict_breach
from models.forecast.bundle import ForecasterBundle, Prediction
from models.forecast.entry import Entry
from models.forecast.protocols import History
from models.forecast.recent import Recent
from models.forecast.resizes import Resize, adapted_history, adapted_samples
from models.series.thresholds import (
    breach_threshold_of,
    is_past,
    is_upward,
    with_known_limit,
    with_limits,
)

#: The present level is the median of so many of the newest samples, so that one bad sample is no breach.
NEWEST_SAMPLES = 3


class BreachBundle:
    """Forecasts each series, and predicts when it crosses its threshold. Safe to use from several threads.

    Args:
        forecasters: of each series; they do not use thresholds.
        correction: corrects predicted breaches; null = no correction.
        cascades: which breaches follow others; null = none known.
        resizes: by `series_id`, by time; the histories of `forecasters` are adapted to them already.
    """

    def __init__(
        self,
        forecasters: ForecasterBundle,
        *,
        correction: BreachCorrection | None = None,
        cascades: CascadeModel | None = None,
        resizes: Mapping[int, Sequence[Resize]] | None = None,
    ) -> None:
        self.forecasters = forecasters
        self.correction = correction or BreachCorrection()
        self.cascades = cascades or CascadeModel()
        self._resizes = resizes or {}
        self._pasts = NewestBySeries[SeriesPast]()

    def present(self, series_id: int, recent: Recent, now: datetime) -> History:
        """The history of one series up to now, in its present size; see `ForecasterBundle.present`."""
        adapted = adapted_samples(recent, self._resizes.get(series_id, ()))
        return self.forecasters.present(self.forecasters.entry(series_id), adapted, now)

    def outlook(
        self, series_id: int, recent: Recent, now: datetime
    ) -> tuple[Prediction, BreachOutlook | None]:
        """Forecast one series and predict its breach. The result is the same each time for the same moment.

        Args:
            series_id: one of the bundle.
            recent: samples of the series since the bundle was trained, and at least of the two hours before `now`
                (`models.forecast.recent.recent_of`).
            now: the present; later samples are ignored.
        Returns:
            The forecast, and the outlook; the outlook is null if the series has no threshold.
        Raises:
            InsufficientDataError: the history has fewer than two values.
            UnknownSeriesError: the bundle does not hold that series.
        """
        series = self.forecasters.entry(series_id).series
        history = self.present(series_id, recent, now)
        prediction = self.forecasters.predict(series_id, history)
        if breach_threshold_of(series) is None:
            return prediction, None
        newest = history.in_unit(history.values[np.isfinite(history.values)][-1:])[0]
        known = recent.before(now)
        seconds, values = known.times_us / 1e6, known.values
        adapted = adapted_samples(known, self._resizes.get(series_id, ())).values
        level = _level(seconds, adapted, now, float(newest))
        impact_level = self.cascades.impact_level(series)
        rng = np.random.default_rng([self.forecasters.parts.seed, series_id % 2**32, int(now.timestamp()), 1])
        outlook = predict_breach(
            series,
            self._past(series, history, len(prediction.yhat)),
            self.forecasters.paths(prediction),
            Present(at=now, level=level, level_an_hour_ago=_level(seconds, adapted, now - HOUR, level)),
            rng=rng,
            impact_level=impact_level,
        )
        if outlook is None or impact_level is None:
            return prediction, None
        upward = is_upward(series)
        impact_since = _since(seconds, values, impact_level, level, upward=upward)
        over_since = _since(seconds, values, outlook.breach.threshold, level, upward=upward)
        impact = outlook.impact
        if impact_since is None:
            # A series that is over its threshold but below its impact level is still filling.
            pattern = BreachPattern.FILL if outlook.pattern is BreachPattern.OVER else outlook.pattern
            impact = self.correction.correct(impact, series, pattern, now)
        breach = self.correction.correct(outlook.breach, series, outlook.pattern, now)
        return prediction, replace(
            outlook, breach=breach, impact=impact, impact_since=impact_since, over_since=over_since
        )

    def _past(self, series: Series, history: History, horizon_steps: int) -> SeriesPast:
        """What the history tells; until the next step is complete, the same is asked in each cycle."""
        question = (horizon_steps, is_upward(series), hash(history.values.tobytes()))
        return self._pasts.get(
            series.series_id, question, lambda: SeriesPast.of(series, history, horizon_steps)
        )

    @property
    def fleet(self) -> ForecastFleet:
        """The series without their forecasters."""
        return ForecastFleet(tuple(sorted(self.forecasters.entries)), self.cascades)

    def part(self, series_ids: Iterable[int]) -> "BreachBundle":
        """The bundle with the forecasters of these of its series alone."""
        entries = self.forecasters.entries
        return self._with_entries({key: entries[key] for key in series_ids}, self._resizes)

    def with_limits(self, stored: Iterable[Series]) -> "BreachBundle":
        """The bundle with the limits and SLO thresholds that are stored now: they are no part of what was learned.

        Args:
            stored: series of the tenant; those without a forecaster are ignored.
        """
        entries = dict(self.forecasters.entries)
        for one in stored:
            entry = entries.get(one.series_id)
            if entry is not None:
                now = with_known_limit(with_limits(entry.series, one), entry.history.values)
                entries[one.series_id] = entry if now == entry.series else replace(entry, series=now)
        return self._with_entries(entries, self._resizes)

    def with_resizes(self, resizes: Mapping[int, Sequence[Resize]]) -> "BreachBundle":
        """The bundle with histories as the present sizes would have given them; call it once.

        Args:
            resizes: by `series_id`, by time.
        """
        if not resizes:
            return self
        entries = dict(self.forecasters.entries)
        for series_id, found in resizes.items():
            entry = entries[series_id]
            entries[series_id] = replace(entry, history=adapted_history(entry.history, found))
        return self._with_entries(entries, resizes)

    def _with_entries(
        self, entries: Mapping[int, Entry], resizes: Mapping[int, Sequence[Resize]]
    ) -> "BreachBundle":
        other = BreachBundle(
            self.forecasters.with_entries(entries),
            correction=self.correction,
            cascades=self.cascades,
            resizes=resizes,
        )
        other._pasts = self._pasts
        return other

    def predict_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Forecast each series that has samples in `frame`, see `ForecasterBundle.predict_frame`."""
        return self.forecasters.predict_frame(frame)

    def to_files(self) -> dict[str, bytes]:
        """The bundle as named files without pickles: those of the forecasters, and one for breaches."""
        return self.forecasters.to_files() | breach_files(self.correction, self.cascades)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "BreachBundle":
        """The inverse of `to_files`. It also reads bundles of the previous release, which had no file for breaches.

        Raises:
            ModelUnavailableError: the files have another format.
        """
        learned = learned_of_breaches(files)
        return cls(
            ForecasterBundle.from_files(files),
            correction=BreachCorrection.from_json(learned["correction"]) if learned["correction"] else None,
            cascades=cascades_of(learned),
        )


def breach_files(correction: BreachCorrection, cascades: CascadeModel) -> dict[str, bytes]:
    """The correction and the cascades, as the file that a bundle stores them in."""
    learned = {"correction": correction.to_json(), "cascades": cascades.to_json()}
    return {BREACHES: json.dumps(learned, sort_keys=True).encode()}


def _since(
    seconds: FloatArray, values: FloatArray, threshold: float, level: float, *, upward: bool
) -> datetime | None:
    """When a series came to `threshold` or beyond it; null if `level` is on the good side of it."""
    if not is_past(np.array([level]), threshold, upward=upward)[0]:
        return None
    smooth = pl.Series(values).rolling_median(NEWEST_SAMPLES, min_samples=1).to_numpy()
    crossed = find_breaches(seconds, smooth, threshold, upward=upward)
    # Without a crossing, the series was past the level from its first known value on.
    first = crossed[-1] if len(crossed) else seconds[0] if len(seconds) else 0.0
    return datetime.fromtimestamp(float(first), UTC)


def _level(seconds: FloatArray, values: FloatArray, at: datetime, otherwise: float) -> float:
    """The median of the last samples in the hour before `at`; `otherwise` if there are none."""
    first, last = np.searchsorted(seconds, [(at - HOUR).timestamp(), at.timestamp()])
    return float(np.median(values[first:last][-NEWEST_SAMPLES:])) if first < last else otherwise
