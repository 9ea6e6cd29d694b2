"""Train the forecasters: weight the member models of each series by backtests, and register one bundle."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from core.domain import EventKind, Role, Series
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
from models.forecast.choice.common_trees import CommonTrees, learn_fleet, learned_from
from models.forecast.choice.selection import Choice, Plan, select
from models.forecast.choice.shares import Candidate, with_candidates
from models.forecast.entry import Entry
from models.forecast.files import ForecastParts, head_files
from models.forecast.fleet.global_trees import GlobalTrees
from models.forecast.history import histories
from models.forecast.intervals.conformal import LEVELS
from models.forecast.protocols import History, StoredForecaster
from models.forecast.states import Arrays
from models.series.clock import holidays as calendar_days
from models.series.thresholds import with_known_limit
from pipelines.common.current_time import current_time
from pipelines.common.parallel import chunked, map_chunks
from pipelines.common.progress import Progress, silent
from pipelines.common.service_graph import service_graph
from pipelines.common.tenant_platform import Platform
from pipelines.learn.bundle_on_disk import BundleOnDisk
from pipelines.learn.learning_window import holidays_to_come, read_exclusions
from pipelines.learn.past_breaches import FleetBreaches
from pipelines.learn.report import TrainReport

#: Six weeks show a weekly season often enough, and an old pattern is forgotten after them.
WINDOW_DAYS = 42
#: Samples are read, put on the grid and forgotten in parts of so many series, so that memory does not grow with
#: the samples of the fleet; a worker takes the smaller part.
READ, CHUNK = 100, 25
#: A spawned process needs seconds for its imports: below this many series it does not pay.
WORTH_PROCESSES = 500
#: A nightly run looks back to so many past moments; a bench affords more.
PLAN = Plan(origins=12)

_FORECAST_ROLES = (Role.CAPACITY, Role.TRAFFIC, Role.ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob:
    """One series for a worker process.

    Attributes:
        plan: how the members are backtested.
        choice: what was chosen before the candidates were tried; null: not yet.
        states: the states of members that were fitted then.
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
    series_id: int
    entry: Entry | None
    reason: str = ""
    looks: tuple[PastForecast, ...] = ()


def wanted(series: Series) -> bool:
    """Capacity, traffic and errors, and whatever has a threshold that could be crossed."""
    return series.role in _FORECAST_ROLES or series.threshold is not None


def train_forecasters(
    platform: Platform, *, at: datetime | None = None, progress: Progress = silent
) -> TrainReport:
    """Fit, weigh and register the forecasters of all series worth forecasting.

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
    night = FleetTraining(ChunkPool(platform, len(ids)), platform.settings.seed, progress, ids)
    with TemporaryDirectory(prefix="forewarn-") as scratch:
        chosen, entries = BundleOnDisk(Path(scratch, "chosen")), BundleOnDisk(Path(scratch, "entries"))
        night.fit(_jobs(platform, series, start, now, past, plan), chosen, "forecasters", len(ids))
        trees = _with_candidates(night, chosen, entries, selected)
        metrics = summary(entry.choice for entry in entries.entries())
        foreseen = {look.episode for look in night.looks if look.breach_in_s is not None}
        common = ForecastParts(
            entries={},
            seed=platform.settings.seed,
            trees=trees if trees is not None and f"share_{trees.name}" in metrics else None,
        )
        cascades = learn_cascades(
            past.breaches,
            series.values(),
            service_graph(platform.settings.service_graph, platform.store.series.find()),
            span_s=(now - start).total_seconds(),
            peaks=past.peaks,
        )
        entries.keep(
            head_files(common, entries.parts) | breach_files(learn_correction(night.looks), cascades)
        )
        training = Training(
            window_start=start,
            window_end=now,
            seed=platform.settings.seed,
            metrics=metrics | {"breaches_looked_back_on": float(len(foreseen))},
            params={
                "step_s": HOUR_S,
                "forecasters": ",".join(platform.settings.forecasters or DEFAULT_FORECASTERS),
            },
        )
        model = platform.registry.register("forecaster", entries, training)
    return TrainReport(
        model=model,
        trained=entries.count,
        skipped={series[series_id].name: reason for series_id, reason in night.skipped.items()},
        metrics=training.metrics,
    )


class FleetTraining:
    """One run over the fleet; entries go to the disk as they come.

    Attributes:
        skipped: series_id -> why there is no entry of it.
        looks: what was said before the breaches of the past.
    """

    def __init__(self, spread: "ChunkPool", seed: int, progress: Progress, ids: Iterable[int]) -> None:
        self.seed = seed
        self.skipped = dict.fromkeys(ids, "no samples in the window")
        self.looks: list[PastForecast] = []
        self._spread = spread
        self._progress = progress

    def fit(self, chunks: Iterable[Sequence[FitJob]], into: BundleOnDisk, step: str, total: int) -> None:
        """Work on all jobs and keep the entries in their order.

        Args:
            step, total: what is told of the progress.
        """
        met = 0
        for done in self._spread.map(fit_chunk, chunks):
            for one in done:
                self.looks += one.looks
                if one.entry is None:
                    self.skipped[one.series_id] = one.reason
                else:
                    self.skipped.pop(one.series_id, None)
            into.add(one.entry for one in done if one.entry is not None)
            met += len(done)
            self._progress(step, met, total)
        into.close()


class ChunkPool:
    """Where the chunks of one run are worked on."""

    def __init__(self, platform: Platform, series: int) -> None:
        # Who asks for a cluster by name gets one, however small the fleet.
        worth = platform.settings.compute != "processes" or series >= WORTH_PROCESSES
        self.workers = platform.settings.workers if worth else 1
        self.compute = platform.settings.compute

    def map(
        self, function: Callable[[Sequence[FitJob]], list[FitResult]], chunks: Iterable[Sequence[FitJob]]
    ) -> Iterator[list[FitResult]]:
        return map_chunks(function, chunks, workers=self.workers, compute=self.compute)


def _jobs(
    platform: Platform,
    series: Mapping[int, Series],
    start: datetime,
    end: datetime,
    past: FleetBreaches,
    plan: Plan,
) -> Iterator[Sequence[FitJob]]:
    """Chunks of series with their histories, read when a worker has room for them; `past` learns their breaches."""
    exclusions, deploys, holidays = _calendar(platform, start, end)
    for part in chunked(sorted(series), READ):
        samples = platform.store.samples.read(start, end, part)
        found = histories(
            samples,
            series,
            step_s=HOUR_S,
            end=end,
            steps=WINDOW_DAYS * 24,
            exclusions=exclusions,
            deploys=deploys,
            holidays=holidays,
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
                    past=past.find(one, history, samples),
                    seed=platform.settings.seed,
                )
            )
        yield from chunked(jobs, CHUNK)


def fit_chunk(jobs: Sequence[FitJob]) -> list[FitResult]:
    """What a worker process does: choose for each series; a series that cannot be fitted says why."""
    return [_fit(job) for job in jobs]


def _fit(job: FitJob) -> FitResult:
    try:
        choice = job.choice or select(job.history, job.plan)
        choice = with_candidates(choice, job.history, job.plan, job.candidates)
        states = _fitted_states(choice, job.history, job.states)
    except InsufficientDataError as error:
        return FitResult(series_id=job.series_id, entry=None, reason=str(error))
    entry = Entry(series=job.series, history=job.history, choice=choice, states=states)
    looks = backtest_breaches(job.series, job.history, choice, job.past, seed=job.seed) if job.past else ()
    return FitResult(series_id=job.series_id, entry=entry, looks=tuple(looks))


def _fitted_states(choice: Choice, history: History, known: Mapping[str, Arrays]) -> dict[str, Arrays]:
    """The states of the members that a bundle stores; those that are not known yet are fitted."""
    found = {name: state for name, state in known.items() if name in choice.weights}
    for name in choice.weights:
        forecaster = None if name == FLEET_MODEL or name in found else find_forecaster(name)
        if isinstance(forecaster, StoredForecaster):
            found[name] = forecaster.fit(history).to_arrays()
    return found


def _with_candidates(
    night: FleetTraining, chosen: BundleOnDisk, into: BundleOnDisk, selected: SelectedForecasters
) -> GlobalTrees | None:
    """Try the fleet model on every series, and each expensive forecaster where the members leave most error.

    Returns:
        the trees; null where the fleet gains nothing by them.
    """
    left = {
        entry.series.series_id: min(entry.choice.mae.values()) / size
        for entry in chosen.entries()
        if entry.choice.mae and (size := float(np.nanstd(entry.history.values))) > 0
    }
    worst = sorted(left, key=lambda key: (-left[key], key))
    plan = replace(PLAN, members=selected.members)
    fleet = _learn_fleet(chosen, sorted(left), plan, night.seed) if selected.fleet_model else None
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

    night.fit(chunked(jobs(), CHUNK), into, "models that must earn their cost", chosen.count)
    return None if fleet is None else fleet.trees


def _learn_fleet(chosen: BundleOnDisk, ids: Sequence[int], plan: Plan, seed: int) -> CommonTrees | None:
    """The common trees, of some of the series that could be tried."""
    wanted = {ids[row] for row in learned_from(len(ids))}
    entries = [entry for entry in chosen.entries() if entry.series.series_id in wanted]
    return learn_fleet(
        [entry.history for entry in entries], [entry.choice for entry in entries], plan, seed=seed
    )


def summary(choices: Iterable[Choice]) -> dict[str, float]:
    """What was measured over the fleet, in the backtests, and who forecasts.

    Returns:
        `relative_error`: mean absolute error of the combination by that of seasonal naive, median over the
        series; `coverage_80` and `coverage_95`: shares inside the intervals, mean over the series.
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
        f"coverage_{round(100 * level)}": float(np.mean(told)) for level, told in inside.items() if told
    }
    return found | {f"share_{name}": total / count for name, total in weight.items()}


def _calendar(
    platform: Platform, start: datetime, end: datetime
) -> tuple[dict[str, list[tuple[datetime, datetime]]], dict[str, list[datetime]], dict[str, list[date]]]:
    """Spans that nothing is learned from, deploys, and holidays, those to come too; all by service."""
    exclusions: dict[str, list[tuple[datetime, datetime]]] = {}
    for service, begin, stop in read_exclusions(platform, start, end).iter_rows():
        exclusions.setdefault(service, []).append((begin, stop))
    deploys: dict[str, list[datetime]] = {}
    events = platform.store.events.between(start, end)
    for event in events:
        if event.kind is EventKind.DEPLOY:
            deploys.setdefault(event.service, []).append(event.at)
    days = calendar_days([*events, *holidays_to_come(platform, end)])
    epoch = date(1970, 1, 1)
    dates = {
        service: [epoch + timedelta(days=day) for day in sorted(found)] for service, found in days.items()
    }
    return exclusions, deploys, dates
