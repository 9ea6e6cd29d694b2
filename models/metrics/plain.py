"""Recipes for metrics that no exporter's recipes and no convention know: one series for each service.

Instances, pods and handlers come and go, so the values of all of them are added up, or the highest one counts. Of
metrics that are 1 while something works, the lowest one counts.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from core.domain import Direction, Role, SeriesKind
from core.metric_names import Guess, guess_metric, lower_is_worse, words_of
from core.metric_types import is_counter
from models.metrics.recipe import Aggregate, Recipe, Scope, Term

#: Values that nobody watches: facts about a build, moments, and what Prometheus writes about alerts.
_NOT_WATCHED = re.compile(
    r".*(_info|_created|_timestamp(_seconds|_ms)?|_start_time(_seconds)?|_last_\w*time\w*|_build|_version|_serial"
    r"|_generation|_bucket|_sum|_count)$|ALERTS(_FOR_STATE)?$"
)
#: Adding up these over instances has no meaning.
_NOT_ADDED = frozenset({"ratio", "%", "seconds", "ms", "celsius"})
#: From this value on, a time is no duration but a moment: a duration of more than 30 years.
_FIRST_MOMENT: Mapping[str, float] = {"seconds": 1e9, "ms": 1e12}
#: Without a unit, these words tell that a value may be a moment, in seconds since 1970.
_TIME_WORDS = frozenset({"time", "timestamp", "unixtime", "epoch", "date"})
#: The last word of a metric that is 1 while something works.
_STATE_WORDS = frozenset({"up", "alive"})
#: A distribution as one metric for each of some percentiles: the percentile is the end of the name.
_PERCENTILE = re.compile(r"(.+_)(\d{1,2})$")
_PERCENTILES = frozenset({1, 99, *range(5, 100, 5)})
_FEWEST_PERCENTILES = 3


def watched(metrics: Iterable[str]) -> list[str]:
    """The metrics that somebody would watch, as far as their names tell, sorted.

    Examples:
        >>> watched(["orders_total", "queue_depth", "app_build_info", "x_bucket"])
        ['orders_total', 'queue_depth']
        >>> watched(["dns_lookups_50", "dns_lookups_90", "dns_lookups_95", "worker_1", "worker_2", "worker_3"])
        ['worker_1', 'worker_2', 'worker_3']
    """
    names = sorted(name for name in metrics if _NOT_WATCHED.match(name) is None)
    percentiles: dict[str, set[int]] = defaultdict(set)
    for name in names:
        if found := _PERCENTILE.match(name):
            percentiles[found[1]].add(int(found[2]))
    distributions = {
        stem for stem, numbers in percentiles.items()
        if len(numbers) >= _FEWEST_PERCENTILES and numbers <= _PERCENTILES
    }  # fmt: skip
    return [name for name in names if not (found := _PERCENTILE.match(name)) or found[1] not in distributions]


def plain_recipes(metrics: Iterable[str], types: Mapping[str, str]) -> Iterator[Recipe]:
    """One recipe for each metric, in the order of the names."""
    for metric in sorted(metrics):
        guess = guess_metric(metric)
        if is_counter(metric, types):
            yield _counter(metric, guess)
        elif _STATE_WORDS.intersection(words_of(metric)[-1:]):
            yield _state(metric)
        else:
            yield _gauge(metric, guess)


def may_be_moment(recipe: Recipe) -> bool:
    """Whether a plain recipe has no values where its metric is a moment."""
    return any(term.below is not None for term in recipe.terms.values())


def _counter(metric: str, guess: Guess) -> Recipe:
    role = guess.role
    # Responses are counted, and have no latency; objects that are swapped in fill nothing.
    if role is Role.CAPACITY or (role is Role.LATENCY and guess.unit not in _FIRST_MOMENT):
        role = Role.SATURATION
    return _recipe(
        Term(metric=metric, rate=True),
        about=f"{metric} as a rate, added up in a service",
        role=role,
        unit=f"{guess.unit}/s" if guess.unit else "1/s",
        direction=_direction(metric, role),
    )


def _state(metric: str) -> Recipe:
    return _recipe(
        Term(metric=metric, aggregate=Aggregate.MIN),
        about=f"{metric}, the lowest in a service",
        role=Role.ERRORS,
        unit="",
        direction=Direction.DOWN_IS_BAD,
    )


def _gauge(metric: str, guess: Guess) -> Recipe:
    is_unitless_time = guess.unit == "" and not _TIME_WORDS.isdisjoint(words_of(metric))
    added = guess.unit not in _NOT_ADDED and not is_unitless_time
    return _recipe(
        Term(
            metric=metric,
            aggregate=Aggregate.SUM if added else Aggregate.MAX,
            below=_FIRST_MOMENT.get("seconds" if is_unitless_time else guess.unit),
        ),
        about=f"{metric}, {'added up' if added else 'the highest'} in a service",
        role=guess.role,
        unit="" if guess.kind is SeriesKind.RATIO else guess.unit,
        direction=_direction(metric, guess.role),
    )


def _recipe(term: Term, *, about: str, role: Role, unit: str, direction: Direction) -> Recipe:
    return Recipe(
        signal=term.metric,
        about=about,
        role=role,
        unit=unit,
        direction=direction,
        scope=Scope.SERVICE,
        formula="value",
        terms={"value": term},
    )


def _direction(metric: str, role: Role) -> Direction:
    if lower_is_worse(metric):
        return Direction.DOWN_IS_BAD
    return Direction.UP_IS_BAD if role in (Role.ERRORS, Role.LATENCY) else Direction.BOTH
