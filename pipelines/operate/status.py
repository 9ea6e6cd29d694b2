"""Read the state of the platform: what it holds, how fresh the data are, and which problems need action."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipelines.common.tenant_platform import Platform
from pipelines.operate.status_of_archive import archive
from pipelines.operate.status_of_budgets import budgets
from pipelines.operate.status_of_data import (
    baselines,
    contradictions,
    dead_letters,
    models,
    samples,
    scoring,
    sources,
)
from pipelines.operate.status_of_intake import intake
from pipelines.operate.status_of_queues import queues
from pipelines.operate.status_of_work import (
    deliveries,
    locks,
    open_incidents,
    signals,
    stray_servers,
    watch_cycles,
)
from pipelines.operate.status_part import StatusPart, shortened

#: So many lines of each kind are shown to people.
MAX_LINES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformStatus:
    """All parts, and the problems among them."""

    tenant: str
    parts: tuple[StatusPart, ...]
    problems: tuple[str, ...]


_CHECKS: dict[str, Callable[[Platform], Iterator[StatusPart]]] = {
    "samples": samples,
    "archive": archive,
    "sources": sources,
    "budgets": budgets,
    "queues": queues,
    "intake": intake,
    "dead letters": dead_letters,
    "contradictions": contradictions,
    "baselines": baselines,
    "models": models,
    "scoring": scoring,
    "watch cycles": watch_cycles,
    "signals": signals,
    "open incidents": open_incidents,
    "deliveries": deliveries,
    "locks": locks,
    "stray servers": stray_servers,
}


def read_status(platform: Platform, *, max_lines: int | None = None) -> PlatformStatus:
    """Read every part; nothing is changed.

    Args:
        max_lines: how many parts of each kind to return; the last one then counts the others. Null: all.
    """
    parts = tuple(
        part for name, check in _CHECKS.items() for part in shortened(name, list(check(platform)), max_lines)
    )
    problems = dict.fromkeys(part.problem for part in parts if part.problem)
    return PlatformStatus(tenant=platform.tenant, parts=parts, problems=tuple(problems))
