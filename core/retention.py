"""The port of what deletes old data."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from core.settings import Settings


class RetentionPolicy(Protocol):
    def apply(self, settings: Settings, now: datetime) -> Mapping[str, int]:
        """Delete what is older than the settings keep; returns table -> rows deleted."""
        ...
