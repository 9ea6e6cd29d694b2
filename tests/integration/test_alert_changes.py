"""Incidents from changes of alerts, whatever the order in which starts and ends arrive, and however often."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, permutations

import pytest

from core.alert_changes import AlertChange
from core.domain import Severity
from pipelines.stores.session import Pool
from pipelines.stores.store import Store

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FIRED, ENDED = True, False
_NUMBERS = count()
Spans = list[tuple[int, int | None]]


def change(store: Store, minute: int, firing: bool, kind: str = "errors") -> AlertChange:
    return AlertChange(
        tenant=store.tenant,
        service="checkout",
        type=kind,
        severity=Severity.WARNING,
        at=NOON + timedelta(minutes=minute),
        firing=firing,
    )


def spans(store: Store, kind: str = "errors") -> Spans:
    """Start and end of the stored incidents, in minutes."""

    def minutes(at: datetime | None) -> int | None:
        return None if at is None else round((at - NOON).total_seconds() / 60)

    found = store.incidents.between(NOON - timedelta(days=1), NOON + timedelta(days=1))
    return [(minutes(one.start) or 0, minutes(one.end)) for one in found if one.type == kind]


@pytest.fixture
def stores(pool: Pool) -> Iterator[Store]:
    """One store after the other, each of another tenant."""
    return (Store(pool, f"alerts_{number}") for number in _NUMBERS)


def apply(store: Store, changes: Sequence[tuple[int, bool]]) -> int:
    return sum(store.incidents.change([change(store, minute, firing)]) for minute, firing in changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([(0, FIRED)], [(0, None)]),
        ([(0, FIRED), (5, FIRED)], [(0, None)]),
        ([(0, FIRED), (9, ENDED)], [(0, 9)]),
        ([(0, FIRED), (9, ENDED), (20, FIRED)], [(0, 9), (20, None)]),
        ([(9, ENDED)], [(9, 9)]),
    ],
)
def test_changes_in_order_give_incidents(
    stores: Iterator[Store], changes: list[tuple[int, bool]], expected: Spans
) -> None:
    store = next(stores)
    assert apply(store, changes) == len(expected)
    assert spans(store) == expected
    apply(store, changes)
    assert spans(store) == expected, "a second delivery changes nothing"


def test_an_end_that_arrives_before_its_start_ends_the_incident(stores: Iterator[Store]) -> None:
    for order in permutations([(0, FIRED), (9, ENDED), (0, FIRED), (9, ENDED)]):
        store = next(stores)
        assert apply(store, order) == 1
        assert spans(store) == [(0, 9)], order


def test_changes_of_one_webhook_are_applied_by_time(stores: Iterator[Store]) -> None:
    store = next(stores)
    times = [(20, FIRED), (9, ENDED), (0, FIRED), (30, ENDED)]
    assert store.incidents.change([change(store, *one) for one in times]) == 2
    assert spans(store) == [(0, 9), (20, 30)]


def test_alerts_with_other_names_do_not_end_each_other(stores: Iterator[Store]) -> None:
    store = next(stores)
    store.incidents.change([change(store, 0, FIRED), change(store, 0, FIRED, "latency")])
    store.incidents.change([change(store, 9, ENDED, "latency")])
    assert (spans(store), spans(store, "latency")) == ([(0, None)], [(0, 9)])
