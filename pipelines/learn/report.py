"""The report of a training run."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.domain import ModelRef


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """One registered version.

    Attributes:
        trained: how many series or services the model covers.
        skipped: name of a series or service that it does not cover -> why.
        metrics: what was measured; the registry stores them with the run.
    """

    model: ModelRef
    trained: int
    skipped: Mapping[str, str]
    metrics: Mapping[str, float]
