"""The report of a replay: its figures, and every alert that people would have received."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.domain import Incident, SignalKind
from core.errors import InsufficientDataError
from models.lifecycle.replay_figures import ReplayFacts, ReplayFigures, Truth, replay_figures
from models.lifecycle.replay_records import AlertMessage, CycleRecord
from pipelines.common.service_graph import graph_of
from pipelines.common.tenant_platform import Platform
from pipelines.replay.journal import Journal
from pipelines.replay.plan import ReplayFolder, ReplayPlan
from pipelines.replay.truth import truth_of
from pipelines.wiring import open_platform


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """What a replay found.

    Attributes:
        until: up to this moment it has run.
        is_complete: whether that is its end.
        signals_by_kind: how many signals passed the filters.
        messages: to people, in the order of time.
    """

    plan: ReplayPlan
    until: datetime
    is_complete: bool
    figures: ReplayFigures
    signals_by_kind: Mapping[SignalKind, int]
    messages: tuple[AlertMessage, ...]


def report_of_replay(live: Platform, name: str) -> ReplayReport:
    """Compare what a replay would have told with what happened, up to where it has run.

    Raises:
        NotFoundError: there is no replay of that name.
        InsufficientDataError: it has not run a cycle yet.
    """
    folder = ReplayFolder.of(live.settings, name)
    plan, records = folder.plan, Journal(folder.journal).records()
    cycles = [one for one in records if isinstance(one, CycleRecord)]
    if not cycles:
        raise InsufficientDataError(f"replay {name!r} has not run a cycle yet")
    until = cycles[-1].at + timedelta(seconds=plan.every_s)
    with open_platform(folder.settings(live.settings)) as replayed:
        series = replayed.store.series.find()
        signals = [
            one
            for one in replayed.store.signals.find(since=plan.start, suppressed=False)
            if plan.start <= one.started_at
        ]
        truth = truth_of(live.store, series, plan.start, until)
        facts = ReplayFacts(
            start=plan.start,
            end=until,
            every_s=plan.every_s,
            records=records,
            truth=truth,
            edges=graph_of(replayed, series),
            signals=len(signals),
            named=_named(replayed, truth),
            budget_per_week=live.settings.alert_budget_per_week,
        )
    kinds = sorted({one.kind for one in signals})
    return ReplayReport(
        plan=plan,
        until=until,
        is_complete=len(cycles) >= plan.cycles,
        figures=replay_figures(facts),
        signals_by_kind={kind: sum(one.kind is kind for one in signals) for kind in kinds},
        messages=tuple(one for one in records if isinstance(one, AlertMessage)),
    )


def cycles_of(live: Platform, name: str) -> list[CycleRecord]:
    """The cycles that a replay has run, in their order."""
    journal = Journal(ReplayFolder.of(live.settings, name).journal)
    return [one for one in journal.records() if isinstance(one, CycleRecord)]


def _named(replayed: Platform, truth: Truth) -> dict[str, int]:
    """Incident id -> place of the first hypothesis that names the service of the incident, in its last diagnosis."""
    found: dict[str, int] = {}
    for incident in truth.incidents:
        if (place := _place_of(replayed, incident)) is not None:
            found[incident.incident_id] = place
    return found


def _place_of(replayed: Platform, incident: Incident) -> int | None:
    store = replayed.store
    end = incident.end or incident.start + timedelta(hours=1)
    signals = [
        one.signal_id
        for one in store.signals.find(service=incident.service, since=incident.start, suppressed=False)
        if one.started_at <= end
    ]
    for record in store.diagnoses.of_signals(signals, until=end):
        services = [one.hypothesis.service for one in record.diagnosis.shown]
        return services.index(incident.service) + 1 if incident.service in services else None
    return None
