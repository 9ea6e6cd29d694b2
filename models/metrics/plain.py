"""Recipes for metrics that no exporter's recipes and no convention know: one series for each service.

Instances, pods and handlers come and go, so the values of all of them are added up, or the highest one counts.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from core.domain import Direction, Role, SeriesKind
from core.metric_names import Guess, guess_metric, lower_is_worse
from core.metric_types import is_counter
from models.metrics.recipe import Aggregate, Recipe, Scope, Term

#: Values that nobody watches: facts about a build, moments, and what Prometheus writes about alerts.
_NOT_WATCHED = re.compile(
    r".*(_info|_created|_timestamp(_seconds|_ms)?|_start_time(_seconds)?|_last_\w*time\w*|_build|_version"
    r"|_bucket|_sum|_count)$|ALERTS(_FOR_STATE)?$"
)
#: Adding up these over instances has no meaning.
_NOT_ADDED = frozenset({"ratio", "%", "seconds", "ms", "celsius"})


def is_watched(metric: str) -> bool:
    """Whether somebody would watch a metric, as far as its name tells.

    Examples:
        >>> [is_watched(name) for name in ("orders_total", "queue_depth", "app_build_info", "x_bucket")]
        [True, True, False, False]
    """
    return _NOT_WATCHED.match(metric) is None


def plain_recipes(metrics: Iterable[str], types: Mapping[str, str]) -> Iterator[Recipe]:
    """One recipe for each metric, in the order of the names."""
    for metric in sorted(metrics):
        guess, counter = guess_metric(metric), is_counter(metric, types)
        unit = (f"{guess.unit}/s" if guess.unit else "1/s") if counter else guess.unit
        added = counter or guess.unit not in _NOT_ADDED
        yield Recipe(
            signal=metric,
            about=f"{metric} as {'a rate, ' if counter else ''}{'added up' if added else 'the highest'} in a service",
            role=guess.role,
            unit=unit if counter or guess.kind is not SeriesKind.RATIO else "",
            direction=_direction(metric, guess),
            scope=Scope.SERVICE,
            formula="value",
            terms={
                "value": Term(
                    metric=metric, rate=counter, aggregate=Aggregate.SUM if added else Aggregate.MAX
                )
            },
        )


def _direction(metric: str, guess: Guess) -> Direction:
    if lower_is_worse(metric):
        return Direction.DOWN_IS_BAD
    return Direction.UP_IS_BAD if guess.role in (Role.ERRORS, Role.LATENCY) else Direction.BOTH
