"""The detectors of a fleet in one bundle: baselines, detectors, calibrations and alert budgets of many series.

There are two kinds of detectors. Detectors of residuals compare each value with its baseline. Detectors of values
measure how rare such a movement was in the past. Each score becomes a p-value. The result is the mean surprise (-log10
p) of the two kinds, calibrated again. The fitted state consists of plain arrays, so a bundle is two files and loads
quickly.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from core.arrays import FloatArray, IntArray
from core.domain import Event, EventKind, Series
from core.durations import WEEK_S
from core.errors import UnknownSeriesError
from models.baseline.baselines import fit_baselines
from models.baseline.residuals import Residuals, residuals
from models.detect.budget import OTHERS, AlertBudget
from models.detect.catalog import select_detectors
from models.detect.files import from_files, to_files
from models.detect.fit import GridHistory, fit_grid
from models.detect.learned_fleet import LearnedFleet
from models.detect.series_model import (
    SCORED,
    PointScore,
    SeriesModel,
    SeriesScores,
    scored_frame,
)
from models.series.clock import UTC_ZONE, clocks
from models.series.grid import Grid, exclusion_mask, grids
from models.series.thresholds import with_limits


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorOptions:
    """How the detectors of a fleet are fitted.

    Attributes:
        detectors: names in `models.detect.catalog`; empty = the default set.
        alarms_per_week: accepted false alarms of all series together, > 0, without the services in `alarms_by_service`.
        alarms_by_service: service -> accepted false alarms a week, > 0, of services with their own alert budget.
        seed: of the detectors that draw random numbers.
        time_zone: IANA name; seasons follow it, or the label `time_zone` of a series.
    """

    detectors: tuple[str, ...] = ()
    alarms_per_week: float = 5.0
    alarms_by_service: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    time_zone: str = UTC_ZONE

    def budgets(self, tests_per_week: Mapping[str, int]) -> dict[str, AlertBudget]:
        """The alert budgets, given how many values a week each of them decides about."""
        alarms = {OTHERS: self.alarms_per_week, **self.alarms_by_service}
        return {key: AlertBudget(one, max(tests_per_week.get(key, 0), 1)) for key, one in alarms.items()}


@dataclass(frozen=True, slots=True)
class DetectorBundle:
    """One version of the detectors of a tenant's fleet.

    Attributes:
        models: series id -> its model; skipped: series id -> why it has none.
        budgets: service -> alert budget; `OTHERS` is the budget that all other services share.
        names: of the detectors, in the order of their columns.
    """

    models: Mapping[int, SeriesModel]
    skipped: Mapping[int, str]
    budgets: Mapping[str, AlertBudget]
    names: tuple[str, ...]

    @classmethod
    def fit(
        cls,
        samples: pl.DataFrame,
        series: Sequence[Series],
        exclusions: pl.DataFrame,
        events: Sequence[Event] = (),
        options: DetectorOptions = DetectorOptions(),
    ) -> "DetectorBundle":
        """Learn from history.

        Args:
            samples: `core.frames.SAMPLES`, usually 30 days; exclusions: `core.frames.EXCLUSIONS`.
            events: a deploy explains a shift of the level. Past and future holidays get their own daily pattern.
        Raises:
            ConfigurationError: `options` names a detector that is not in the catalog.
            InvalidFrameError: a column is missing or has a wrong dtype.
        """
        names = select_detectors(options.detectors)
        known = {one.series_id: one for one in series}
        models: dict[int, SeriesModel] = {}
        skipped: dict[int, str] = {}
        deploys = _deploys(events, known)
        for clock, members in clocks(series, events, options.time_zone).items():
            for grid in grids(samples, {one.series_id: one.step_s for one in members}):
                excluded = exclusion_mask(grid, series, exclusions)
                history = GridHistory(
                    grid=grid,
                    values=np.where(excluded, np.nan, grid.values),
                    baselines=fit_baselines(
                        grid, excluded=excluded, deploys_s=deploys, clock=clock
                    ).baselines,
                    series=known,
                    deploys_s=deploys,
                )
                fitted, missed = fit_grid(history, names, options.seed)
                models |= fitted
                skipped |= missed
        skipped |= {key: "no samples" for key in known if key not in models and key not in skipped}
        return cls(models, skipped, options.budgets(tests_per_week(models, options)), names)

    @classmethod
    def merged(cls, parts: Iterable["DetectorBundle"], options: DetectorOptions) -> "DetectorBundle":
        """The bundle of a fleet from those of its parts: whole services each, fitted with the same options."""
        models: dict[int, SeriesModel] = {}
        skipped: dict[int, str] = {}
        for part in parts:
            models |= part.models
            skipped |= part.skipped
        budgets = options.budgets(tests_per_week(models, options))
        return cls(models, skipped, budgets, select_detectors(options.detectors))

    def score(self, samples: pl.DataFrame, events: Sequence[Event] = ()) -> pl.DataFrame:
        """Score samples that come after the learned history. Each value is scored before it changes the level.

        Args:
            samples: `core.frames.SAMPLES`.
            events: after a deploy, the levels of its service follow the values quickly for some hours.
        Returns:
            One row for each sample: the columns of `scored_schema(self.names)`; null where not scorable.
        """
        return self.fleet.decided(self.undecided(samples, events))

    def undecided(self, samples: pl.DataFrame, events: Sequence[Event] = ()) -> pl.DataFrame:
        """The rows of `score`, of which none is an anomaly yet: of whole services, also of a part of the fleet."""
        ids = samples["series_id"].unique().to_list()
        series = {key: self.models[key].series for key in ids if key in self.models}
        deploys = _deploys(events, series)
        found: dict[int, SeriesScores] = {}
        for grid in grids(samples, {key: one.step_s for key, one in series.items()}):
            found |= self._score_grid(grid, deploys)
        return scored_frame(found, self.names) if found else self.fleet.no_rows()

    @property
    def fleet(self) -> LearnedFleet:
        """The series without their detectors."""
        learned = {key: one.learned for key, one in self.models.items()}
        return LearnedFleet(learned, self.budgets, self.names)

    def part(self, series_ids: Iterable[int]) -> "DetectorBundle":
        """The bundle with the models of these series alone."""
        return replace(self, models={key: self.models[key] for key in series_ids if key in self.models})

    def _score_grid(
        self, grid: Grid, deploys_s: Mapping[int, Sequence[int]]
    ) -> Iterator[tuple[int, SeriesScores]]:
        """Series id and scores of each series of a grid that has samples."""
        times_s = grid.times_s
        rows = {int(key): row for row, key in enumerate(grid.series_ids)}
        found: dict[int, Residuals] = {}
        for key, row in rows.items():
            model = self.models[key]
            found[row] = residuals(
                model.baselines, model.row, times_s, grid.values[row], grid.step_s, deploys_s=deploys_s[key]
            )
        deviation = np.stack([found[row].deviation for row in range(len(rows))])
        table_scores = self._score_tables(rows, deviation)
        for key, row in rows.items():
            present = np.isfinite(grid.values[row])
            if present.any():
                model = self.models[key]
                scores = model.scores(times_s, grid.values[row], found[row], table_scores[id(model.table)])
                yield key, scores.where(present)

    def _score_tables(
        self, rows: Mapping[int, int], residual: FloatArray
    ) -> dict[int, Mapping[str, FloatArray]]:
        """Score the table of each service. Returns id of the table -> detector -> scores.

        Args:
            rows: series id -> row in `residual`, which has the shape (series, n).
        """
        members: dict[int, list[int]] = {}
        for key in rows:
            members.setdefault(id(self.models[key].table), []).append(key)
        scores: dict[int, Mapping[str, FloatArray]] = {}
        for table_id, keys in members.items():
            table = self.models[keys[0]].table
            columns = np.full((residual.shape[1], table.columns), np.nan)
            if table.detectors:
                for key in keys:
                    columns[:, self.models[key].column] = residual[rows[key]]
            scores[table_id] = table.score(columns)
        return scores

    def score_points(
        self,
        series_id: int,
        ts: Sequence[datetime],
        values: Sequence[float | None],
        context: tuple[IntArray, FloatArray] | None = None,
        deploys_s: Sequence[int] = (),
    ) -> list[PointScore]:
        """Score a few values of one series at once, in well under a millisecond with the default detectors.

        Args:
            ts, values: in the order of time; null = missing.
            context: epoch seconds and values (NaN = missing) just before them, in the order of time. Levels and
                averages continue from there; without a context they continue from the end of the learned history.
            deploys_s: epoch seconds of recent deploys of the service; the level follows quickly after each.
        Raises:
            UnknownSeriesError: the bundle holds no model of that series.
        """
        model = self._model(series_id)
        times_s = np.array([int(moment.timestamp()) for moment in ts], dtype=np.int64)
        numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        if context is not None:
            times_s = np.concatenate([context[0], times_s])
            numbers = np.concatenate([context[1], numbers])
        new = slice(times_s.size - len(ts), None)
        residual = residuals(
            model.baselines, model.row, times_s, numbers, model.series.step_s, deploys_s=deploys_s
        )
        table_scores: dict[str, FloatArray] = {}
        if model.table.detectors:
            # The values of the other series are not known here, so a table has no context.
            columns = np.full((len(ts), model.table.columns), np.nan)
            columns[:, model.column] = residual.deviation[new]
            for name, raw in model.table.score(columns).items():
                table_scores[name] = np.full(times_s.size, np.nan)
                table_scores[name][new] = raw
        scores = model.scores(times_s, numbers, residual, table_scores)
        alpha = self.budgets[budget_of(model, self.budgets)].base_alpha
        return [model.point(scores, at, alpha) for at in range(new.start, times_s.size)]

    def _model(self, series_id: int) -> SeriesModel:
        model = self.models.get(series_id)
        if model is None:
            why = self.skipped.get(series_id, "it did not exist when the model was trained")
            raise UnknownSeriesError(f"series {series_id} has no model: {why}")
        return model

    def with_limits(self, stored: Iterable[Series]) -> "DetectorBundle":
        """The bundle with the limits and SLO thresholds that are stored now. Training does not learn them.

        Args:
            stored: series of the tenant; those without a model are ignored.
        """
        changed: dict[int, SeriesModel] = {}
        for one in stored:
            model = self.models.get(one.series_id)
            if model is not None and (now := with_limits(model.series, one)) is not model.series:
                changed[one.series_id] = replace(model, series=now)
        return replace(self, models={**self.models, **changed}) if changed else self

    def predict_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Score rows of any series, in their order; MLflow's own tools call this.

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

    def to_files(self) -> dict[str, bytes]:
        """`bundle.json` and `arrays.npz`; they hold data and never code."""
        return to_files(self.models, self.skipped, self.budgets, self.names)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "DetectorBundle":
        """The inverse of `to_files`.

        Raises:
            ModelUnavailableError: the files have another format, or hold a detector that is not in the catalog.
        """
        return cls(*from_files(files))


def tests_per_week(models: Mapping[int, SeriesModel], options: DetectorOptions) -> Counter[str]:
    """Key of an alert budget -> how many values a week it decides about."""
    tests: Counter[str] = Counter()
    for one in models.values():
        tests[budget_of(one, options.alarms_by_service)] += WEEK_S // one.series.step_s
    return tests


def budget_of(model: SeriesModel, by_service: Mapping[str, object]) -> str:
    """The key of the alert budget that holds for a series."""
    return model.series.service if model.series.service in by_service else OTHERS


def _deploys(events: Sequence[Event], series: Mapping[int, Series]) -> dict[int, list[int]]:
    """Series id -> epoch seconds of the deploys of its service."""
    by_service: dict[str, list[int]] = {}
    for event in events:
        if event.kind is EventKind.DEPLOY:
            by_service.setdefault(event.service, []).append(int(event.at.timestamp()))
    everywhere = by_service.pop("*", [])
    return {key: sorted(by_service.get(one.service, []) + everywhere) for key, one in series.items()}
