"""Predict failures from the newest features, and raise a signal where the risk reaches the alert threshold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from core.domain import FailureRisk, ModelRef, Signal, SignalKind
from core.service_names import service_id
from features.catalog import FEATURE_NAMES
from models.failure import FailureBundle
from models.signals.failure_risk import RiskAlerts
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.learn.features import build_missing_features, materialize, newest_moment
from pipelines.learn.train_failure import KIND

#: A signal lists the deploys and config changes of its service from so long before its start.
NEARBY = timedelta(hours=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictReport:
    """The failure risks at one moment.

    Attributes:
        risks: service -> its risk, the highest first.
        signals: those that are open now.
        new, updated: how many signals were raised, and how many changed.
        withdrawn: how many ended.
    """

    at: datetime
    model: ModelRef
    risks: Mapping[str, FailureRisk]
    signals: tuple[Signal, ...]
    new: int
    updated: int
    withdrawn: int


@one_at_a_time("predict")
def predict_failure(
    platform: Platform, *, at: datetime | None = None, progress: Progress = silent
) -> PredictReport:
    """Predict the failure risk of every service; raise, update and withdraw signals.

    A second run for the same moment changes nothing.

    Raises:
        ModelUnavailableError: no failure model is active.
        InsufficientDataError: there are no samples.
    """
    ref, bundle = platform.models.get(KIND, FailureBundle.from_files)
    now = newest_moment(platform, at)
    services = sorted({one.service for one in platform.store.series.find()})
    features = _online(platform, services, now, progress)
    progress("risks", 0, len(services))
    risks = dict(zip(services, bundle.predict(features), strict=True))
    unfinished = [
        signal
        for signal in reversed(platform.store.signals.find(kind=SignalKind.FAILURE_RISK, since=now))
        if signal.ended_at is None
    ]
    open_now = {signal.service: signal for signal in unfinished if signal.started_at <= now}
    # An open signal that began later, before the clock went back, stays as it is.
    later = {signal.service for signal in unfinished} - set(open_now)
    events = platform.store.events.between(now - NEARBY, now + timedelta(seconds=1))
    alerts = RiskAlerts(
        tenant=platform.tenant,
        model=ref,
        now=now,
        horizon_s=bundle.parts.alert_horizon_s,
        threshold=bundle.parts.alert_threshold,
        events=events,
    )
    changed = alerts.signals({name: risk for name, risk in risks.items() if name not in later}, open_now)
    new, updated = platform.store.signals.upsert(changed)
    progress("risks", len(services), len(services))
    return PredictReport(
        at=now,
        model=ref,
        # A failure that is likely soon counts in every horizon, one that is likely later only in the longest.
        risks=dict(sorted(risks.items(), key=lambda one: -sum(one[1].probability_by_horizon_s.values()))),
        signals=tuple(signal for signal in changed if signal.ended_at is None),
        new=new,
        updated=updated,
        withdrawn=sum(signal.ended_at is not None for signal in changed),
    )


def _online(platform: Platform, services: Sequence[str], now: datetime, progress: Progress) -> pl.DataFrame:
    """The features of this moment from the online store. Missing ones are built and loaded into the store first."""
    ids = [service_id(platform.tenant, service) for service in services]
    # One feature shows whether the others are there, too.
    newest = platform.features.online(ids, FEATURE_NAMES[:1], until=now).get_column("ts")
    if (newest != now).fill_null(value=True).any():
        build_missing_features(platform, start=now, end=now, progress=progress)
        materialize(platform, at=now, progress=progress)
    features = platform.features.online(ids, FEATURE_NAMES, until=now)
    return features.with_columns(pl.col("ts").fill_null(now))
