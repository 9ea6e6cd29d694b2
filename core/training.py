"""What a model version was trained from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One set of parameters that was tried on the way to a model, and what it reached."""

    name: str
    params: Mapping[str, str | int | float]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a model was made from, kept with it so that an answer can be traced and made again.

    Attributes:
        attempts: what was tried on the way, each kept as a run of its own under the model's.
        documents: path -> content of what people look at, such as plots; no part of the model.
    """

    window_start: datetime
    window_end: datetime
    seed: int
    params: Mapping[str, str | int | float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    attempts: Sequence[Attempt] = ()
    documents: Mapping[str, bytes] = field(default_factory=dict)
