"""Turn proposed thresholds into SLO thresholds, as people tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.domain import Series
from core.errors import InputError
from models.series.thresholds import is_proposed
from pipelines.common.tenant_platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptReport:
    """The thresholds that hold as SLO now, by name of the series."""

    accepted: Mapping[str, float]


def accept_thresholds(platform: Platform, names: Sequence[str]) -> AcceptReport:
    """Make the proposed thresholds of these series their SLO thresholds; the next watch cycle uses them.

    Args:
        names: a whole name, `cart/latency_seconds{route=/pay}`, or service and metric, for all series of both.
    Raises:
        InputError: no series with a proposed threshold has one of the names; nothing is accepted.
    """
    proposed = [one for one in platform.store.series.find() if is_proposed(one)]
    chosen: dict[int, Series] = {}
    for name in names:
        mine = [one for one in proposed if name in (one.name, f"{one.service}/{one.metric}")]
        if not mine:
            raise InputError(
                f"no series named {name} has a proposed threshold; `forewarn series list --proposed` lists them"
            )
        chosen |= {one.series_id: one for one in mine}
    accepted: list[Series] = [replace(one, slo_threshold=one.proposed_threshold) for one in chosen.values()]
    platform.store.series.register(accepted)
    return AcceptReport(
        accepted={one.name: one.slo_threshold for one in accepted if one.slo_threshold is not None}
    )
