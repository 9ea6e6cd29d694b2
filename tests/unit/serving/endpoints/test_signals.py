"""The query string of /signals and the cursor from page to page."""

from collections.abc import Sequence
from datetime import datetime

import pytest
from fakes.platform import platform_of
from fakes.ports import FakeStore, unsupported
from fakes.serving import FakeRegistry
from fakes.signals import make_signal
from starlette.datastructures import QueryParams

from core.counts import SignalCounts
from core.domain import Signal, SignalKind
from core.errors import InputError
from core.ports import SignalRepository
from serving.contract.deprecated import deprecation_headers
from serving.endpoints.signals import SignalsQuery, list_signals
from serving.http.admission import parsed_query
from serving.state.loaded_models import LoadedModels
from serving.state.tenants import TenantContext


class FakeSignals(SignalRepository):
    """Signals, newest first, as the store orders them."""

    def __init__(self, count: int) -> None:
        made = [make_signal(f"{number:032x}", minute=number // 3) for number in range(count)]
        self._signals = sorted(made, key=lambda one: (-one.started_at.timestamp(), one.signal_id))
        self.suppressed: list[bool | None] = []

    def upsert(self, signals: Sequence[Signal]) -> tuple[int, int]:
        unsupported(self, "upsert")

    def get(self, signal_id: str) -> Signal:
        unsupported(self, "get")

    def counts(self, since: datetime) -> SignalCounts:
        unsupported(self, "counts")

    def unfinished(self) -> list[Signal]:
        unsupported(self, "unfinished")

    def find(
        self,
        *,
        kind: SignalKind | None = None,
        service: str | None = None,
        since: datetime | None = None,
        suppressed: bool | None = None,
        limit: int | None = 100,
        after: tuple[datetime, str] | None = None,
    ) -> list[Signal]:
        if any(one is not None for one in (kind, service, since)):
            unsupported(self, "find with filters")
        self.suppressed.append(suppressed)
        rest = self._signals
        if after is not None:
            rest = [
                one
                for one in rest
                if one.started_at < after[0] or (one.started_at == after[0] and one.signal_id > after[1])
            ]
        return rest[:limit]


def query_of(params: QueryParams) -> SignalsQuery:
    query = parsed_query(SignalsQuery, params)
    assert isinstance(query, SignalsQuery)
    return query


def context_with(count: int) -> tuple[TenantContext, FakeSignals]:
    signals = FakeSignals(count)
    platform = platform_of(FakeStore("t", signals=signals))
    return TenantContext(platform, LoadedModels(FakeRegistry(), retry_s=1)), signals


@pytest.mark.parametrize(("count", "limit"), [(0, 5), (5, 5), (11, 5), (20, 3), (7, 100)])
def test_the_pages_hold_every_signal_once(count: int, limit: int) -> None:
    context, seen, cursor = context_with(count)[0], list[str](), ""
    while True:
        page = list_signals(
            context, query_of(QueryParams(f"limit={limit}" + (f"&cursor={cursor}" if cursor else "")))
        )
        assert len(page.signals) <= limit
        seen += [signal.signal_id for signal in page.signals]
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert len(seen) == len(set(seen)) == count


@pytest.mark.parametrize(
    "query",
    [
        "kind=party",
        "limit=0",
        "limit=1001",
        "limit=many",
        "limit=1e2",
        "stopped=perhaps",
        "suppressed=perhaps",
        "suppressed=true&stopped=true",
        "since=yesterday",
        "since=2026-01-31T12:00:00",
        "since=1700000000",
        "service=",
        "service=%00",
        "unknown=1",
        "limit=1&limit=2",
    ],
)
def test_a_wrong_query_is_refused(query: str) -> None:
    with pytest.raises(InputError):
        query_of(QueryParams(query))


@pytest.mark.parametrize("cursor", ["x", "%%%", "AAAA", "MjAyNi0wMS0zMQ", "é", "=" * 9, "MXwy"])
def test_a_cursor_that_was_not_given_is_refused(cursor: str) -> None:
    with pytest.raises(InputError, match="next_cursor"):
        list_signals(context_with(3)[0], query_of(QueryParams({"cursor": cursor})))


@pytest.mark.parametrize(
    ("query", "suppressed"),
    [
        ("", None),
        ("suppressed=true", True),
        ("suppressed=false", False),
        ("stopped=true", True),
        ("stopped=false", False),
    ],
)
def test_the_old_parameter_means_the_same_as_the_new_one(query: str, suppressed: bool | None) -> None:
    context, signals = context_with(1)
    parsed = query_of(QueryParams(query))
    list_signals(context, parsed)
    assert signals.suppressed == [suppressed]
    headers = deprecation_headers(parsed)
    assert bool(headers) == query.startswith("stopped")
    if headers:
        assert headers["Deprecation"] == "@1795910400"
        assert "use suppressed" in headers["Warning"]
