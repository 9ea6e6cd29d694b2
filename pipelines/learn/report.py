"""What a training run says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.domain import ModelRef


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """One registered version.

    Attributes:
        trained: how many series or services the version holds.
        skipped: name of what it does not hold -> why.
        metrics: what was measured, also logged with the run.
    """

    model: ModelRef
    trained: int
    skipped: Mapping[str, str]
    metrics: Mapping[str, float]
