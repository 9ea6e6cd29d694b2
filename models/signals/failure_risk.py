"""Builds the signals about failure risks: raised at the alert threshold, withdrawn when the risk has fallen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from core.domain import Event, EventKind, FailureRisk, ModelRef, Severity, Signal, SignalKind, stable_id
from models.failure.alarms import RELEASE_SHARE
from models.words.failure import expected_failure, withdrawn_failure

#: A signal is critical from this probability on.
CRITICAL_FROM = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskAlerts:
    """When risks of one moment become signals.

    Attributes:
        model: that predicted the risks.
        now: the moment.
        horizon_s: the probability within this time decides.
        threshold: a signal begins at this probability.
        events: deploys and config changes shortly before `now`; new signals list those of their service.
    """

    tenant: str
    model: ModelRef
    now: datetime
    horizon_s: int
    threshold: float
    events: Sequence[Event] = ()

    def signals(self, risks: Mapping[str, FailureRisk], open_signals: Mapping[str, Signal]) -> list[Signal]:
        """New, continued and withdrawn signals.

        Args:
            risks: by service.
            open_signals: by service.
        """
        found = (self._signal(service, risk, open_signals.get(service)) for service, risk in risks.items())
        return [signal for signal in found if signal is not None]

    def _signal(self, service: str, risk: FailureRisk, before: Signal | None) -> Signal | None:
        probability = risk.probability_by_horizon_s[self.horizon_s]
        if before is None and probability < self.threshold:
            return None
        if before is not None and probability < RELEASE_SHARE * self.threshold:
            return replace(
                before,
                ended_at=self.now,
                summary=withdrawn_failure(service, probability),
                severity=Severity.INFO,
            )
        started_at = self.now if before is None else before.started_at
        return Signal(
            signal_id=stable_id(self.tenant, SignalKind.FAILURE_RISK, service, started_at.isoformat()),
            tenant=self.tenant,
            kind=SignalKind.FAILURE_RISK,
            service=service,
            started_at=started_at,
            summary=expected_failure(service, risk, self.horizon_s, self.now),
            severity=Severity.CRITICAL if probability >= CRITICAL_FROM else Severity.WARNING,
            score=probability,
            risk=risk,
            factors=risk.factors,
            nearby_events=self._nearby(service) if before is None else before.nearby_events,
            model=self.model,
        )

    def _nearby(self, service: str) -> tuple[Event, ...]:
        changes = (EventKind.DEPLOY, EventKind.CONFIG_CHANGE)
        return tuple(one for one in self.events if one.service in (service, "*") and one.kind in changes)
