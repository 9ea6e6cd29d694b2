"""Train the forecasters: choose by backtests what forecasts each series, and register them as one bundle."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from core.domain import EventKind, Role, Series
from core.errors import InsufficientDataError
from core.ports import Training
from models.clock import holidays as calendar_days
from models.forecasters.bundle import Entry, ForecasterBundle
from models.forecasters.fleet import learn_fleet
from models.forecasters.global_trees import GlobalTrees
from models.forecasters.history import histories
from models.forecasters.prophet import ProphetForecaster
from models.forecasters.protocols import History
from models.forecasters.selection import Choice, Plan, select, shares_of
from models.forecasters.shares import Candidate, with_candidates
from models.hindsight import learn_hindsight
from models.past_breaches import PastBreaches, PastLook, look_back
from models.past_knock_ons import learn_knock_ons
from pipelines.learning_window import holidays_to_come, read_exclusions
from pipelines.parallel import chunked, map_chunks
from pipelines.present import present
from pipelines.progress import Progress, silent
from pipelines.service_graph import service_graph
from pipelines.train.past_breaches import PastOfFleet
from pipelines.train.report import TrainReport

if TYPE_CHECKING:
    from pipelines.wiring import Platform

HOUR_S = 3_600
#: Six weeks show a weekly season often enough, and a change of habits is forgotten after them.
WINDOW_DAYS = 42
#: Samples are read, put on the grid and forgotten in parts of so many series, so that memory does not grow with
#: the samples of the fleet; a worker takes the smaller part.
READ, CHUNK = 100, 25
#: A spawned process needs seconds for its imports: below this many series it does not pay.
WORTH_PROCESSES = 500
#: Prophet costs a hundred times what the pool does, and is tried on this share of the series: those with most left
#: to gain. The common trees are tried on all.
PROPHET_SHARE = 0.03
#: Past moments that a nightly run looks back to; a bench affords more.
ORIGINS = 12

_FORECAST_ROLES = (Role.CAPACITY, Role.TRAFFIC, Role.ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One series for a worker process.

    Attributes:
        choice: what was chosen before the candidates had their turn; null: not yet.
    """

    series_id: int
    series: Series
    history: History
    plan: Plan
    choice: Choice | None = None
    candidates: tuple[Candidate, ...] = ()
    past: PastBreaches | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    series_id: int
    entry: Entry | None
    reason: str = ""
    looks: tuple[PastLook, ...] = ()


def wanted(series: Series) -> bool:
    """Capacity, traffic and errors, and whatever has a threshold that could be crossed."""
    return series.role in _FORECAST_ROLES or series.threshold is not None


def train_forecasters(
    platform: "Platform", *, at: datetime | None = None, progress: Progress = silent
) -> TrainReport:
    """Fit, weigh and register the forecasters of all series worth forecasting.

    Args:
        at: the present; nothing at or after it is read.
    """
    now = present(platform, at)
    start = now - timedelta(days=WINDOW_DAYS)
    series = {one.series_id: one for one in platform.store.series.find() if wanted(one)}
    plan = Plan(origins=ORIGINS)
    ids = sorted(series)
    spread = Spread(platform, len(ids))
    done: list[Done] = []
    past = PastOfFleet()
    for result in spread.map(fit_chunk, _jobs(platform, series, start, now, plan, past)):
        done += result
        progress("forecasters", len(done), len(ids))
    known = {one.series_id for one in done}
    done += [
        Done(series_id=series_id, entry=None, reason="no samples in the window")
        for series_id in ids
        if series_id not in known
    ]
    looks = [look for one in done for look in one.looks]
    graph = service_graph(platform.settings.service_graph, platform.store.series.find())
    done, trees = _with_candidates(done, plan, platform.settings.seed, spread, progress)
    bundle = ForecasterBundle(
        {one.series_id: one.entry for one in done if one.entry is not None},
        seed=platform.settings.seed,
        trees=trees,
        hindsight=learn_hindsight(looks),
        knock_ons=learn_knock_ons(
            past.breaches,
            series.values(),
            graph,
            span_s=(now - start).total_seconds(),
            heights=past.heights,
        ),
    )
    episodes = {look.episode for look in looks if look.came_s is not None}
    metrics = summary(bundle) | {"breaches_looked_back_on": float(len(episodes))}
    training = Training(
        window_start=start,
        window_end=now,
        seed=platform.settings.seed,
        metrics=metrics,
        params={"step_s": HOUR_S},
    )
    model = platform.registry.register("forecaster", bundle.to_files(), training)
    skipped = {series[one.series_id].name: one.reason for one in done if one.entry is None}
    return TrainReport(model=model, trained=len(bundle.entries), skipped=skipped, metrics=metrics)


class Spread:
    """Where the chunks of one run are worked on."""

    def __init__(self, platform: "Platform", series: int) -> None:
        # Who asks for a cluster by name gets one, however small the fleet.
        worth = platform.settings.compute != "processes" or series >= WORTH_PROCESSES
        self.workers = platform.settings.workers if worth else 1
        self.compute = platform.settings.compute

    def map(
        self, function: Callable[[Sequence[Job]], list[Done]], chunks: Iterable[Sequence[Job]]
    ) -> Iterator[list[Done]]:
        return map_chunks(function, chunks, workers=self.workers, compute=self.compute)


def _jobs(
    platform: "Platform",
    series: Mapping[int, Series],
    start: datetime,
    end: datetime,
    plan: Plan,
    past: PastOfFleet,
) -> Iterator[Sequence[Job]]:
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
        jobs = [
            Job(
                series_id=series_id,
                series=series[series_id],
                history=history,
                plan=plan,
                past=past.find(series[series_id], history, samples),
                seed=platform.settings.seed,
            )
            for series_id, history in sorted(found.items())
        ]
        yield from chunked(jobs, CHUNK)


def fit_chunk(jobs: Sequence[Job]) -> list[Done]:
    """What a worker process does: choose for each series; a series that cannot be fitted says why."""
    return [_fit(job) for job in jobs]


def _fit(job: Job) -> Done:
    try:
        choice = job.choice or select(job.history, job.plan)
        choice = with_candidates(choice, job.history, job.plan, job.candidates)
        prophet = None
        if "prophet" in choice.weights:
            prophet = ProphetForecaster().fit(job.history).to_json()
    except InsufficientDataError as error:
        return Done(series_id=job.series_id, entry=None, reason=str(error))
    entry = Entry(series=job.series, history=job.history, choice=choice, prophet=prophet)
    looks = look_back(job.series, job.history, choice, job.past, seed=job.seed) if job.past else ()
    return Done(series_id=job.series_id, entry=entry, looks=tuple(looks))


def _with_candidates(
    done: Sequence[Done], plan: Plan, seed: int, spread: Spread, progress: Progress
) -> tuple[list[Done], GlobalTrees | None]:
    """Try the common trees on every series, and Prophet where the pool leaves most to gain."""
    by_id = {one.series_id: one for one in done}
    entries = {one.series_id: one.entry for one in done if one.entry is not None and one.entry.choice.mae}
    fleet = learn_fleet(
        [entry.history for entry in entries.values()],
        [entry.choice for entry in entries.values()],
        plan,
        seed=seed,
    )
    left = {
        key: min(entry.choice.mae.values()) / size
        for key, entry in entries.items()
        if (size := float(np.nanstd(entry.history.values))) > 0
    }
    worst = sorted(left, key=lambda key: (-left[key], key))
    prophets = set(worst[: round(PROPHET_SHARE * len(worst))])
    prophet = (Candidate(forecaster=ProphetForecaster()),)
    jobs = [
        Job(
            series_id=key,
            series=entries[key].series,
            history=entries[key].history,
            plan=plan,
            choice=entries[key].choice,
            candidates=(prophet if key in prophets else ()) + (() if fleet is None else (fleet.candidate,)),
        )
        for key in sorted(left if fleet else prophets)
    ]
    again = 0
    for result in spread.map(fit_chunk, chunked(jobs, CHUNK)):
        by_id.update({one.series_id: one for one in result})
        again += len(result)
        progress("models that must earn their cost", again, len(jobs))
    done = [by_id[key] for key in sorted(by_id)]
    used = fleet is not None and any(
        one.entry is not None and fleet.trees.name in one.entry.choice.weights for one in done
    )
    return done, fleet.trees if fleet is not None and used else None


def summary(bundle: ForecasterBundle) -> dict[str, float]:
    """What was measured over the fleet, in the backtests, and who forecasts.

    Returns:
        `relative_error`: mean absolute error of the combination by that of seasonal naive, median over the
        series; `coverage_80` and `coverage_95`: shares inside the intervals, mean over the series.
    """
    choices: list[Choice] = [entry.choice for entry in bundle.entries.values()]
    found = {"series": float(len(choices))}
    errors = [
        choice.combined_mae / naive
        for choice in choices
        if choice.combined_mae is not None and (naive := choice.mae.get("seasonal_naive", 0.0)) > 0
    ]
    if errors:
        found["relative_error"] = float(np.median(errors))
    for level, name in ((0.8, "coverage_80"), (0.95, "coverage_95")):
        shares = [choice.coverage[level] for choice in choices if level in choice.coverage]
        if shares:
            found[name] = float(np.mean(shares))
    return found | {f"share_{name}": share for name, share in shares_of(choices).items()}


def _calendar(
    platform: "Platform", start: datetime, end: datetime
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
