"""Train the forecasters: weight the member models of each series by backtests, and register one bundle."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from core.domain import Role, Series
from core.durations import HOUR_S
from core.errors import InsufficientDataError
from core.training import Training
from models.breach.backtest import PastBreaches, PastForecast, backtest_breaches
from models.breach.bundle import breach_files
from models.breach.correction import learn_correction
from models.breach.learn_cascades import learn_cascades
from models.forecast.catalog import (
    DEFAULT_FORECASTERS,
    FLEET_MODEL,
    TRIED_ON,
    SelectedForecasters,
    find_forecaster,
    select_forecasters,
)
from models.forecast.choice.candidates import Candidate, with_candidates
from models.forecast.choice.fleet_model import FleetModel, learn_fleet_model, series_to_learn_from
from models.forecast.choice.selection import Choice, Plan, select
from models.forecast.entry import Entry
from models.forecast.files import ForecastParts, head_files
from models.forecast.fleet.global_trees import GlobalTrees
from models.forecast.history import histories
from models.forecast.intervals.conformal import LEVELS
from models.forecast.protocols import History, StoredForecaster
from models.forecast.states import Arrays
from models.series.thresholds import breach_threshold_of, known_past_limits, with_known_limit
from pipelines.common.current_time import current_time
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.service_graph import graph_of
from pipelines.common.tenant_platform import Platform
from pipelines.learn.bundle_on_disk import BundleOnDisk
from pipelines.learn.past_breaches import FleetBreaches
from pipelines.learn.report import TrainReport
from pipelines.learn.service_calendar import read_calendar
from pipelines.processes.parallel import chunked, map_chunks

#: Six weeks show a weekly season often enough, and an old pattern is forgotten after them.
WINDOW_DAYS = 42
#: Number of series whose samples are read and averaged at once, so that memory does not grow with the samples of the
#: fleet; and number of series in the chunk of a worker.
READ, CHUNK = 100, 25
#: Least number of series for which processes are started, because each needs seconds for its imports.
WORTH_PROCESSES = 500
#: Training has time for fewer origins than a benchmark.
PLAN = Plan(origins=12)

_FORECAST_ROLES = (Role.CAPACITY, Role.TRAFFIC, Role.ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob:
    """One series for a worker process.

    Attributes:
        plan: how the members are backtested.
        choice: the members as they were chosen before the candidates are tried; null: not chosen yet.
        states: the states of members that were fitted then.
        candidates: forecasters to try.
        past: past breaches, before which predictions are repeated; null: none.
        seed: of the simulated paths.
    """

    series_id: int
    series: Series
    history: History
    plan: Plan = PLAN
    choice: Choice | None = None
    states: Mapping[str, Arrays] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    past: PastBreaches | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """What a worker returns for one series.

    Attributes:
        entry: null if the series cannot be forecast.
        reason: why it has no entry.
        past_forecasts: the repeated predictions.
    """

    series_id: int
    entry: Entry | None
    reason: str = ""
    past_forecasts: tuple[PastForecast, ...] = ()


def wanted(series: Series) -> bool:
    """Whether a series is forecast: capacity, traffic, errors, and every series with a threshold."""
    return series.role in _FORECAST_ROLES or breach_threshold_of(series) is not None


@one_at_a_time("train/forecaster")
def train_forecasters(
    platform: Platform, *, at: datetime | None = None, progress: Progress = silent
) -> TrainReport:
    """Fit, weigh and register the forecasters of all series that `wanted` accepts.

    Args:
        at: the present; nothing at or after it is read.
    Raises:
        ConfigurationError: `FOREWARN_FORECASTERS` names a forecaster that is not in the catalog.
    """
    selected = select_forecasters(platform.settings.forecasters)
    plan = replace(PLAN, members=selected.members)
    now = current_time(platform, at)
    start = now - timedelta(days=WINDOW_DAYS)
    series = {one.series_id: one for one in platform.store.series.find() if wanted(one)}
    ids = sorted(series)
    past = FleetBreaches()
    run = FleetTraining(ChunkPool(platform, len(ids)), platform.settings.seed, progress, ids)
    with TemporaryDirectory(prefix="forewarn-") as scratch:
        chosen, entries = BundleOnDisk(Path(scratch, "chosen")), BundleOnDisk(Path(scratch, "entries"))
        run.fit(_jobs(platform, series, start, now, past, plan), chosen, "forecasters", len(ids))
        trees = _with_candidates(run, chosen, entries, selected)
        metrics = summary(entry.choice for entry in entries.entries())
        backtested = {one.episode for one in run.past_forecasts if one.breach_in_s is not None}
        common = ForecastParts(
            entries={},
            seed=platform.settings.seed,
            trees=trees if trees is not None and f"share_{trees.name}" in metrics else None,
        )
        cascades = learn_cascades(
            past.breaches,
            series.values(),
            graph_of(platform, platform.store.series.find()),
            span_s=(now - start).total_seconds(),
            peaks=past.peaks,
        )
        entries.keep(
            head_files(common, entries.series_ids)
            | breach_files(learn_correction(run.past_forecasts), cascades)
        )
        training = Training(
            window_start=start,
            window_end=now,
            seed=platform.settings.seed,
            metrics=metrics | {"breaches_backtested": float(len(backtested))},
            params={
                "step_s": HOUR_S,
                "forecasters": ",".join(platform.settings.forecasters or DEFAULT_FORECASTERS),
            },
        )
        model = platform.registry.register("forecaster", entries, training)
    return TrainReport(
        model=model,
        trained=len(entries.series_ids),
        skipped={series[series_id].name: reason for series_id, reason in run.skipped.items()},
        metrics=training.metrics,
    )


class FleetTraining:
    """One training run over the fleet; entries are written to disk as workers finish them.

    Attributes:
        skipped: series_id -> why it has no entry.
        past_forecasts: the repeated predictions before past breaches.
    """

    def __init__(self, pool: "ChunkPool", seed: int, progress: Progress, ids: Iterable[int]) -> None:
        self.seed = seed
        self.skipped = dict.fromkeys(ids, "no samples in the window")
        self.past_forecasts: list[PastForecast] = []
        self._pool = pool
        self._progress = progress

    def fit(self, chunks: Iterable[Sequence[FitJob]], into: BundleOnDisk, step: str, total: int) -> None:
        """Work on all jobs and write the entries in their order.

        Args:
            step: name of this step, for the progress.
            total: number of jobs, for the progress.
        """
        count = 0
        for done in self._pool.map(fit_chunk, chunks):
            for one in done:
                self.past_forecasts += one.past_forecasts
                if one.entry is None:
                    self.skipped[one.series_id] = one.reason
                else:
                    self.skipped.pop(one.series_id, None)
            into.add(one.entry for one in done if one.entry is not None)
            count += len(done)
            self._progress(step, count, total)
        into.close()


class ChunkPool:
    """Runs the chunks of one training on workers: in this process, in other processes, or on a cluster."""

    def __init__(self, platform: Platform, series: int) -> None:
        # A cluster that the settings name is used for a fleet of any size.
        worth = platform.settings.compute != "processes" or series >= WORTH_PROCESSES
        self.workers = platform.settings.workers if worth else 1
        self.compute = platform.settings.compute

    def map(
        self, function: Callable[[Sequence[FitJob]], list[FitResult]], chunks: Iterable[Sequence[FitJob]]
    ) -> Iterator[list[FitResult]]:
        """Apply a function to each chunk; the results are in the order of the chunks."""
        return map_chunks(function, chunks, workers=self.workers, compute=self.compute)


def _jobs(
    platform: Platform,
    series: Mapping[int, Series],
    start: datetime,
    end: datetime,
    past: FleetBreaches,
    plan: Plan,
) -> Iterator[Sequence[FitJob]]:
    """Yield chunks of series with their histories, each read when a worker is free; `past` collects their breaches."""
    calendar = read_calendar(platform, start, end)
    for part in chunked(sorted(series), READ):
        samples = platform.store.samples.read(start, end, part)
        limits = platform.store.limit_changes.past_limits(part)
        found = histories(
            samples,
            series,
            step_s=HOUR_S,
            end=end,
            steps=WINDOW_DAYS * 24,
            calendar=calendar,
        )
        jobs: list[FitJob] = []
        for series_id, history in sorted(found.items()):
            one = with_known_limit(series[series_id], history.values)
            jobs.append(
                FitJob(
                    series_id=series_id,
                    series=one,
                    history=history,
                    plan=plan,
                    past=past.find(
                        one,
                        history,
                        samples,
                        known_past_limits(one, limits.get(series_id, ()), history.values),
                    ),
                    seed=platform.settings.seed,
                )
            )
        yield from chunked(jobs, CHUNK)


def fit_chunk(jobs: Sequence[FitJob]) -> list[FitResult]:
    """Choose and fit the members of each series: the work of a worker process."""
    return [_fit(job) for job in jobs]


def _fit(job: FitJob) -> FitResult:
    try:
        choice = job.choice or select(job.history, job.plan)
        choice = with_candidates(choice, job.history, job.plan, job.candidates)
        states = _fitted_states(choice, job.history, job.states)
    except InsufficientDataError as error:
        return FitResult(series_id=job.series_id, entry=None, reason=str(error))
    entry = Entry(series=job.series, history=job.history, choice=choice, states=states)
    past_forecasts = (
        backtest_breaches(job.series, job.history, choice, job.past, seed=job.seed) if job.past else ()
    )
    return FitResult(series_id=job.series_id, entry=entry, past_forecasts=tuple(past_forecasts))


def _fitted_states(choice: Choice, history: History, known: Mapping[str, Arrays]) -> dict[str, Arrays]:
    """The states of the members that a bundle stores; those that are not known yet are fitted."""
    found = {name: state for name, state in known.items() if name in choice.weights}
    for name in choice.weights:
        forecaster = None if name == FLEET_MODEL or name in found else find_forecaster(name)
        if isinstance(forecaster, StoredForecaster):
            found[name] = forecaster.fit(history).to_arrays()
    return found


def _with_candidates(
    run: FleetTraining, chosen: BundleOnDisk, into: BundleOnDisk, selected: SelectedForecasters
) -> GlobalTrees | None:
    """Try the fleet model on every series, and each expensive forecaster on the series with most error left.

    Returns:
        The fleet model; null if it does not reduce the error of the fleet, or was not selected.
    """
    left = {
        entry.series.series_id: min(entry.choice.mae.values()) / size
        for entry in chosen.entries()
        if entry.choice.mae and (size := float(np.nanstd(entry.history.values))) > 0
    }
    worst = sorted(left, key=lambda key: (-left[key], key))
    plan = replace(PLAN, members=selected.members)
    fleet = _learn_fleet(chosen, sorted(left), plan, run.seed) if selected.fleet_model else None
    common = () if fleet is None else (fleet.candidate,)
    tried = {name: set(worst[: round(TRIED_ON.get(name, 1.0) * len(worst))]) for name in selected.candidates}

    def jobs() -> Iterator[FitJob]:
        for entry in chosen.entries():
            key = entry.series.series_id
            yield FitJob(
                series_id=key,
                series=entry.series,
                history=entry.history,
                plan=plan,
                choice=entry.choice,
                states=entry.states,
                candidates=(
                    *(
                        Candidate(forecaster=find_forecaster(name))
                        for name, ids in tried.items()
                        if key in ids
                    ),
                    *(common if key in left else ()),
                ),
            )

    run.fit(chunked(jobs(), CHUNK), into, "models that must earn their cost", len(chosen.series_ids))
    return None if fleet is None else fleet.trees


def _learn_fleet(chosen: BundleOnDisk, ids: Sequence[int], plan: Plan, seed: int) -> FleetModel | None:
    """Learn the fleet model from the series that had a backtest, or from some of them."""
    wanted = {ids[row] for row in series_to_learn_from(len(ids))}
    entries = [entry for entry in chosen.entries() if entry.series.series_id in wanted]
    return learn_fleet_model(
        [entry.history for entry in entries], [entry.choice for entry in entries], plan, seed=seed
    )


def summary(choices: Iterable[Choice]) -> dict[str, float]:
    """Summarise the backtests and the weights of a fleet.

    Returns:
        `series`: number of series. `relative_error`: mean absolute error of the combined forecast divided by that of
        the seasonal naive one, median over the series; only if `seasonal_naive` is a member. `coverage_80` and
        `coverage_95`: shares of values inside the intervals, mean over the series. `share_<member>`: mean weight.
    """
    count = 0
    errors: list[float] = []
    inside: dict[float, list[float]] = {level: [] for level in LEVELS}
    weight: dict[str, float] = {}
    for choice in choices:
        count += 1
        naive = choice.mae.get("seasonal_naive", 0.0)
        if choice.combined_mae is not None and naive > 0:
            errors.append(choice.combined_mae / naive)
        for level, share in choice.coverage.items():
            inside[level].append(share)
        for name, share in choice.weights.items():
            weight[name] = weight.get(name, 0.0) + share
    found = {"series": float(count)}
    if errors:
        found["relative_error"] = float(np.median(errors))
    found |= {
        f"coverage_{round(100 * level)}": float(np.mean(shares)) for level, shares in inside.items() if shares
    }
    return found | {f"share_{name}": total / count for name, total in weight.items()}
