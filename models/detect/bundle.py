"""The shipped detector of a fleet: baselines, detectors, calibration and filters of many series in one bundle.

Each value is compared with its baseline: z-score, MAD and EWMA look at the residual, an Isolation Forest looks at
all residuals of the service together. Beside them the stream judges each movement by how rare it was before. Each
score becomes a p-value, and the mean surprise of the two ways to look, calibrated again, is the answer. What is learned
lies in plain arrays, so that a bundle is two files and loads at once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core.domain import Band, Event, EventKind, Series
from core.errors import UnknownSeriesError
from core.frames import TIME
from models.baseline.baselines import fit_baselines
from models.baseline.residuals import residuals
from models.detect.budget import OTHERS, WEEK_S, AlertBudget
from models.detect.calibration import score_of
from models.detect.files import from_files, to_files
from models.detect.fit import fit_grid
from models.detect.series_model import COMBINED, NAMES, PointScore, SeriesModel, detector_results
from models.series.clock import UTC_ZONE, clocks
from models.series.grid import FloatArray, Grid, IntArray, as_utc, exclusion_mask, grids
from models.series.thresholds import weights

#: What `DetectorBundle.score` returns; the last columns are the p-values of the single detectors.
SCORED: dict[str, Any] = {
    "series_id": pl.Int64, "ts": TIME, "value": pl.Float64, "expected": pl.Float64, "lower": pl.Float64,
    "upper": pl.Float64, "score": pl.Float64, "p_value": pl.Float64, "surprise": pl.Float64,
    "deviation_sigma": pl.Float64, "weight": pl.Float64, "is_anomaly": pl.Boolean, **dict.fromkeys(NAMES, pl.Float64),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DetectorBundle:
    """One version of the detector of a tenant's fleet.

    Attributes:
        models: series id -> its model; skipped: series id -> why it has none.
        budgets: what decides which p-values are anomalies, by service; that of `OTHERS` for all without their own.
    """

    models: Mapping[int, SeriesModel]
    skipped: Mapping[int, str]
    budgets: Mapping[str, AlertBudget]

    @classmethod
    def fit(
        cls,
        samples: pl.DataFrame,
        series: Sequence[Series],
        exclusions: pl.DataFrame,
        events: Sequence[Event] = (),
        *,
        alarms_per_week: float = 5.0,
        alarms_by_service: Mapping[str, float] = MappingProxyType({}),
        seed: int = 0,
        time_zone: str = UTC_ZONE,
    ) -> "DetectorBundle":
        """Learn from history.

        Args:
            samples: `core.frames.SAMPLES`, usually 30 days; exclusions: `core.frames.EXCLUSIONS`.
            events: deploys among them explain shifts of level; holidays, past and to come, are days of their own.
            time_zone: IANA name; seasons follow it, or the label `time_zone` of a series.
            alarms_per_week: bearable false alarms over all series together, but for those of `alarms_by_service`:
                services with a budget of their own.
        Raises:
            InvalidFrameError: a column lacks or has a wrong dtype.
        """
        known = {one.series_id: one for one in series}
        models: dict[int, SeriesModel] = {}
        skipped: dict[int, str] = {}
        tests_per_week: Counter[str] = Counter()
        deploys = _deploys(events, known)
        for clock, members in clocks(series, events, time_zone).items():
            for grid in grids(samples, {one.series_id: one.step_s for one in members}):
                excluded = exclusion_mask(grid, series, exclusions)
                baselines = fit_baselines(grid, excluded=excluded, deploys_s=deploys, clock=clock).baselines
                found, missed = fit_grid(
                    grid, np.where(excluded, np.nan, grid.values), baselines, known, deploys, seed
                )
                models |= found
                skipped |= missed
                for one in found.values():
                    service = one.series.service if one.series.service in alarms_by_service else OTHERS
                    tests_per_week[service] += WEEK_S // grid.step_s
        skipped |= {key: "no samples" for key in known if key not in models and key not in skipped}
        budgets = {
            service: AlertBudget(alarms, max(tests_per_week[service], 1))
            for service, alarms in {OTHERS: alarms_per_week, **alarms_by_service}.items()
        }
        return cls(models, skipped, budgets)

    def _spends(self, series_id: int) -> str:
        """The key of the budget that a series spends from."""
        service = self.models[series_id].series.service
        return service if service in self.budgets else OTHERS

    def score(self, samples: pl.DataFrame, events: Sequence[Event] = ()) -> pl.DataFrame:
        """Score samples that come after what was learned; each is scored before it moves the level.

        Args:
            events: deploys among them let the level of their service settle anew within hours.
        Returns:
            One row a sample: series_id, ts, value, expected, lower, upper, score, p_value, surprise,
            deviation_sigma, weight (`models.series.thresholds.weights`), is_anomaly, and one column of p-values a
            detector; null where not scorable.
        """
        deploys = _deploys(events, {key: one.series for key, one in self.models.items()})
        parts = [
            part
            for grid in grids(samples, {key: one.series.step_s for key, one in self.models.items()})
            for part in self._score_grid(grid, deploys)
        ]
        if not parts:
            return pl.DataFrame(schema=SCORED)
        sharing: dict[str, list[pl.DataFrame]] = {}
        for part in parts:
            sharing.setdefault(self._spends(part["series_id"][0]), []).append(part)
        return pl.concat(_decided(self.budgets[key], pl.concat(group)) for key, group in sharing.items())

    def _score_grid(self, grid: Grid, deploys: Mapping[int, Sequence[int]]) -> list[pl.DataFrame]:
        times_s = grid.times_s
        rows = {int(key): row for row, key in enumerate(grid.series_ids)}
        residual = np.full(grid.values.shape, np.nan)
        for key, row in rows.items():
            model = self.models[key]
            residual[row] = residuals(
                model.baselines, model.row, times_s, grid.values[row], grid.step_s, deploys_s=deploys[key]
            )
        forest_scores: dict[int, FloatArray] = {}
        parts = []
        for key, row in rows.items():
            present = np.isfinite(grid.values[row])
            if not present.any():
                continue
            model = self.models[key]
            if model.forest is not None and id(model.forest) not in forest_scores:
                table = np.full((times_s.size, model.forest.center.size), np.nan)
                for other, other_row in rows.items():
                    if self.models[other].forest is model.forest:
                        table[:, self.models[other].column] = residual[other_row]
                forest_scores[id(model.forest)] = model.forest.score(table)
            shared = forest_scores[id(model.forest)] if model.forest is not None else None
            parts.append(self._frame(model, times_s, grid.values[row], residual[row], shared, present))
        return parts

    def _frame(
        self, model: SeriesModel, times_s: IntArray, values: FloatArray, residual: FloatArray,
        forest_scores: FloatArray | None, present: NDArray[np.bool_],
    ) -> pl.DataFrame:  # fmt: skip
        evidence = model.evidence(times_s, values)
        found = model.surprises(residual, forest_scores, evidence)
        views = {name: view[present] for name, view in found.items()}
        at, value, residual = times_s[present], values[present], residual[present]
        surprise = views[COMBINED]
        expected = value - residual * model.baselines.scale_at(model.row, at)
        lower, upper = model.baselines.edges(model.row, expected, model.baselines.scale_at(model.row, at))
        p_value = 10.0**-surprise
        columns: dict[str, Any] = {
            "series_id": np.full(at.size, model.series.series_id, dtype=np.int64),
            "ts": pl.Series(at * 1_000_000).cast(pl.Datetime("us", "UTC")),
            "value": value, "expected": expected, "lower": lower, "upper": upper,
            "score": score_of(surprise), "p_value": p_value, "surprise": surprise,
            "deviation_sigma": residual,
            "weight": weights(model.series, value, expected),
            "is_anomaly": np.zeros(at.size, dtype=np.bool_),
        }  # fmt: skip
        columns |= {
            name: 10.0 ** -views[name] if name in views else np.full(at.size, np.nan) for name in NAMES
        }
        return pl.DataFrame(columns, schema=SCORED).with_columns(pl.col(pl.Float64).fill_nan(None))

    def score_points(
        self,
        series_id: int,
        ts: Sequence[datetime],
        values: Sequence[float | None],
        context: tuple[IntArray, FloatArray] | None = None,
        deploys_s: Sequence[int] = (),
    ) -> list[PointScore]:
        """Score a few values of one series at once, in well under a millisecond.

        Args:
            ts, values: in the order of time; null = missing.
            context: epoch seconds and values (NaN = missing) just before them, in the order of time, so that level
                and average stand where they should; without it they stand where the history learned from ended.
            deploys_s: epoch seconds of recent deploys of its service, after which the level settles anew.
        Raises:
            UnknownSeriesError: the bundle holds no model of that series.
        """
        model = self.models.get(series_id)
        if model is None:
            why = self.skipped.get(series_id, "it was not there when the model was trained")
            raise UnknownSeriesError(f"series {series_id} has no model: {why}")
        times_s = np.array([int(moment.timestamp()) for moment in ts], dtype=np.int64)
        numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        if context is not None:
            times_s = np.concatenate([context[0], times_s])
            numbers = np.concatenate([context[1], numbers])
        asked = slice(times_s.size - len(ts), None)
        residual = residuals(
            model.baselines, model.row, times_s, numbers, model.series.step_s, deploys_s=deploys_s
        )
        shared = None
        if model.forest is not None:
            # The forest has no memory: of the context only the level and the average know.
            table = np.full((len(ts), model.forest.center.size), np.nan)
            table[:, model.column] = residual[asked]
            shared = np.full(residual.size, np.nan)
            shared[asked] = model.forest.score(table)
        views = model.surprises(residual, shared, model.evidence(times_s, numbers))
        scale = model.baselines.scale_at(model.row, times_s)
        expected = numbers - residual * scale
        lower, upper = model.baselines.edges(model.row, expected, scale)
        weight = weights(model.series, numbers, expected)
        return [
            self._point(
                model, int(times_s[i]), numbers[i], residual[i], expected[i], (lower[i], upper[i]),
                {name: float(view[i]) for name, view in views.items()}, float(weight[i]),
            )
            for i in range(asked.start, times_s.size)
        ]  # fmt: skip

    def predict_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Score rows of any series, in their order: what MLflow's own tools call.

        Args:
            frame: series_id (Int64), ts (a UTC time, or ISO 8601 text) and value (Float64, null = missing).
        Returns:
            series_id, ts, value, score, p_value, is_anomaly.
        Raises:
            UnknownSeriesError: the bundle holds no model of one of the series.
        """
        if frame.schema["ts"] == pl.String:
            frame = frame.with_columns(pl.col("ts").str.to_datetime(time_unit="us", time_zone="UTC"))
        rows = frame.with_row_index("row").sort("series_id", "ts")
        points: list[tuple[Any, ...]] = []
        for (series_id,), part in rows.partition_by("series_id", as_dict=True, maintain_order=True).items():
            scores = self.score_points(int(series_id), part["ts"].to_list(), part["value"].to_list())
            points += [
                (row, series_id, one.ts, one.value, one.score, one.p_value, one.is_anomaly)
                for row, one in zip(part["row"], scores, strict=True)
            ]
        columns = ["series_id", "ts", "value", "score", "p_value", "is_anomaly"]
        schema = {"row": pl.UInt32, **{name: SCORED[name] for name in columns}}
        return pl.DataFrame(points, schema=schema, orient="row").sort("row").select(columns)

    def _point(
        self, model: SeriesModel, at_s: int, value: float, residual: float, expected: float,
        edges: tuple[float, float], views: Mapping[str, float], weight: float,
    ) -> PointScore:  # fmt: skip
        if np.isnan(value):
            return PointScore(as_utc(at_s), None, None, None, None, None, False, (), ())
        surprise = views[COMBINED]
        p_value = 10.0 ** -min(surprise, 300.0)
        anomalous = p_value <= weight * self.budgets[self._spends(model.series.series_id)].base_alpha
        return PointScore(
            ts=as_utc(at_s),
            value=float(value),
            band=Band(expected=float(expected), lower=float(edges[0]), upper=float(edges[1])),
            score=float(score_of(np.asarray(surprise))),
            p_value=p_value,
            deviation_sigma=float(residual),
            is_anomaly=anomalous,
            filters=model.filters(float(value), float(expected)) if anomalous else (),
            detectors=detector_results(views),
        )

    def to_files(self) -> dict[str, bytes]:
        """`bundle.json` and `arrays.npz`, nothing that can run code when loaded."""
        return to_files(self.models, self.skipped, self.budgets)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "DetectorBundle":
        """The inverse of `to_files`."""
        return cls(*from_files(files))


def _decided(budget: AlertBudget, scored: pl.DataFrame) -> pl.DataFrame:
    """The same rows, with `is_anomaly` told by one budget, in the order of time over all its series."""
    ordered = scored.with_row_index("row").sort("ts", "series_id")
    weighted = (ordered["p_value"] / ordered["weight"]).to_numpy()
    found, _ = budget.decide(weighted, ordered["ts"].dt.epoch("s").to_numpy())
    return ordered.with_columns(is_anomaly=pl.Series(found)).sort("row").select(list(SCORED))


def _deploys(events: Sequence[Event], series: Mapping[int, Series]) -> dict[int, list[int]]:
    """Series id -> epoch seconds of the deploys of its service."""
    deploys = [event for event in events if event.kind is EventKind.DEPLOY]
    return {
        key: sorted(int(event.at.timestamp()) for event in deploys if event.service in (one.service, "*"))
        for key, one in series.items()
    }
