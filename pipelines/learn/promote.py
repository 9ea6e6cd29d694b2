"""Promote the challengers that pass the promotion gate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.domain import ModelRef
from core.errors import NotFoundError
from core.model_registry import ModelRegistry
from models.lifecycle.promotion import Criterion, PromotionDecision, decide
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform

#: The metric that decides for each kind. Every training run measures it on data that the model did not learn from.
CRITERIA = {
    "detector": Criterion("calibration_error", higher_is_better=False, tolerance=0.25),
    "forecaster": Criterion("relative_error", higher_is_better=False),
    "failure": Criterion("average_precision_3h", higher_is_better=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KindPromotion:
    """The result for one kind of model.

    Attributes:
        challenger: null if there is none, or if it is the champion already.
    """

    challenger: ModelRef | None
    promoted: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionReport:
    """Kind of model -> what happened to its challenger."""

    by_kind: Mapping[str, KindPromotion]


@one_at_a_time("promote")
def promote(
    platform: Platform,
    *,
    kinds: Sequence[str] | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> PromotionReport:
    """Make the challenger of each kind the champion if it passes the gate. The service loads a new champion by itself.

    Args:
        kinds: kinds of model, keys of `CRITERIA`; null: all.
        force: promote also challengers that do not pass.
    Raises:
        NotFoundError: there is no such kind.
    """
    wanted = tuple(kinds or CRITERIA)
    for kind in wanted:
        if kind not in CRITERIA:
            raise NotFoundError(f"no model kind {kind!r}; there are {', '.join(CRITERIA)}")
    made = {}
    for done, kind in enumerate(wanted):
        progress("promotion", done, len(wanted))
        made[kind] = _promote_kind(platform, kind, force=force)
    progress("promotion", len(wanted), len(wanted))
    return PromotionReport(by_kind=made)


def compare(
    registry: ModelRegistry, kind: str, challenger: ModelRef, champion: ModelRef | None
) -> PromotionDecision:
    """Whether the challenger passes the promotion gate, and why."""
    old = None if champion is None else registry.metrics(champion)
    return decide(CRITERIA[kind], registry.metrics(challenger), old)


def _promote_kind(platform: Platform, kind: str, *, force: bool) -> KindPromotion:
    registry = platform.registry
    challenger, champion = registry.resolve(kind, "challenger"), registry.resolve(kind, "champion")
    if challenger is None:
        return KindPromotion(challenger=None, promoted=False, reason="no model has been trained yet")
    if challenger == champion:
        return KindPromotion(challenger=None, promoted=False, reason="the challenger is the champion already")
    decision = compare(registry, kind, challenger, champion)
    if force and not decision.promote:
        decision = PromotionDecision(True, f"forced, although {decision.reason}")
    if decision.promote:
        registry.promote(challenger)
    return KindPromotion(challenger=challenger, promoted=decision.promote, reason=decision.reason)
