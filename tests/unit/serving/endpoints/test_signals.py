"""The query string of /signals and the cursor from page to page."""

from types import SimpleNamespace
from typing import Any

import pytest
from fakes.serving import FakeRegistry
from fakes.signals import make_signal
from starlette.datastructures import QueryParams

from core.domain import Signal
from core.errors import InputError
from core.settings import Settings
from serving.contract.deprecated import deprecation_headers
from serving.endpoints.signals import SignalsQuery, list_signals
from serving.http.admission import parsed_query
from serving.state.loaded_models import LoadedModels
from serving.state.tenants import TenantContext


class FakeSignals:
    """Signals, newest first, as the store orders them."""

    def __init__(self, count: int) -> None:
        made = [make_signal(f"{number:032x}", minute=number // 3) for number in range(count)]
        self._signals = sorted(made, key=lambda one: (-one.started_at.timestamp(), one.signal_id))
        self.suppressed: list[bool | None] = []

    def find(
        self, *, limit: int, after: tuple[Any, str] | None, suppressed: bool | None, **filters: Any
    ) -> list[Signal]:
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


def context_with(count: int) -> TenantContext:
    settings = Settings(_env_file=None)
    store = SimpleNamespace(signals=FakeSignals(count))
    platform: Any = SimpleNamespace(tenant="t", store=store, settings=settings)
    return TenantContext(platform, LoadedModels(FakeRegistry(), retry_s=1))


@pytest.mark.parametrize(("count", "limit"), [(0, 5), (5, 5), (11, 5), (20, 3), (7, 100)])
def test_the_pages_hold_every_signal_once(count: int, limit: int) -> None:
    context, seen, cursor = context_with(count), list[str](), ""
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
        list_signals(context_with(3), query_of(QueryParams({"cursor": cursor})))


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
    context: Any = context_with(1)
    parsed = query_of(QueryParams(query))
    list_signals(context, parsed)
    assert context.platform.store.signals.suppressed == [suppressed]
    headers = deprecation_headers(parsed)
    assert bool(headers) == query.startswith("stopped")
    if headers:
        assert headers["Deprecation"] == "@1795910400"
        assert "use suppressed" in headers["Warning"]
