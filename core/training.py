"""The data and settings that a model version was trained with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One set of parameters that was tried during training, and its result."""

    name: str
    params: Mapping[str, str | int | float]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a model was trained, stored with it so that results can be traced and reproduced.

    Attributes:
        attempts: parameters that were tried; each is stored as a child run of the run of the model.
        documents: path -> content of files for people, such as plots; they are not part of the model.
    """

    window_start: datetime
    window_end: datetime
    seed: int
    params: Mapping[str, str | int | float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    attempts: Sequence[Attempt] = ()
    documents: Mapping[str, bytes] = field(default_factory=dict)
