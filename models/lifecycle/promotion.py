"""The gate between challenger and champion: a pure decision from the measured figures of both."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Criterion:
    """The figure that decides for a kind of model.

    Attributes:
        metric: its name among the figures of a training run; measured on data that the run did not learn from.
        higher_is_better: its direction.
        tolerance: how much worse, relative to the champion, is still within the noise of one window.
    """

    metric: str
    higher_is_better: bool
    tolerance: float = 0.05


@dataclass(frozen=True, slots=True)
class PromotionDecision:
    """Whether to promote, and why, in one sentence."""

    promote: bool
    reason: str


def decide(
    criterion: Criterion, challenger: Mapping[str, float], champion: Mapping[str, float] | None
) -> PromotionDecision:
    """Promote a challenger that is not worse than the champion beyond the noise.

    Args:
        champion: null where there is none yet; then any challenger that was measured is better than nothing.
    """
    name = criterion.metric
    new = challenger.get(name)
    if new is None:
        return PromotionDecision(
            False, f"its {name} is not known, because there was too little data to evaluate it"
        )
    if champion is None:
        return PromotionDecision(True, f"there is no champion yet; {name} is {new:.4g}")
    old = champion.get(name)
    if old is None:
        return PromotionDecision(True, f"the champion has no {name} to hold against {new:.4g}")
    worse_by = (old - new) if criterion.higher_is_better else (new - old)
    allowed = criterion.tolerance * abs(old)
    if worse_by > allowed:
        return PromotionDecision(
            False, f"{name} went from {old:.4g} to {new:.4g}, worse by more than {allowed:.4g}"
        )
    return PromotionDecision(True, f"{name} is {new:.4g}, the champion's {old:.4g}")
