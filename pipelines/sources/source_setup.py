"""What a source is built from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.clock import Clock
from core.pushed import PushedStores
from core.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSetup:
    """What a source is built from.

    Attributes:
        known_types: reads metric -> the type that sources declared earlier.
        pushed: what clients push; null: no golden signals are computed of them.
    """

    settings: Settings
    tenant: str
    clock: Clock
    known_types: Callable[[], Mapping[str, str]] = dict
    pushed: PushedStores | None = None
