"""`forewarn dead-letters` and `GET /dead_letters`, on a real store."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import polars as pl
import pytest
from fakes.platform import platform_of
from pydantic import ValidationError
from typer.testing import CliRunner, Result

from core.batch import Batch
from core.clock import FixedClock
from core.domain import Series
from core.frames import SAMPLES
from flows.cli import app
from pipelines.collect.ingest import ingest_batch
from pipelines.common.tenant_platform import Platform
from pipelines.stores.store import Store
from serving.endpoints import dead_letters
from serving.endpoints.dead_letters import DeadLettersQuery, list_dead_letters
from serving.state.tenants import TenantContext

NOW = datetime.now(UTC).replace(microsecond=0)


class Context:
    def __init__(self, platform: Platform) -> None:
        self.platform = platform


@pytest.fixture
def platform(store: Store, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The platform that the commands open, three hours after two samples were rejected."""
    one = Series(tenant=store.tenant, service="shop", metric="latency")
    rows = [(one.series_id, NOW + timedelta(hours=hours), float(hours)) for hours in (1, 2)]
    batch = Batch(series=[one], samples=pl.DataFrame(rows, schema=SAMPLES, orient="row"))
    ingest_batch(platform_of(store, FixedClock(NOW)), "push", batch)
    later = platform_of(store, FixedClock(NOW + timedelta(hours=3)))

    @contextmanager
    def open_platform(*_arguments: Any, **_options: Any) -> Iterator[Platform]:
        yield later

    monkeypatch.setattr("pipelines.wiring.open_platform", open_platform)
    return later


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["dead-letters", *arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def webhook(platform: Platform) -> None:
    platform.store.dead_letters.add(
        "webhook:alerts", pl.DataFrame({"row": ["[bold]"], "reason": ["no [red]"]})
    )


def test_groups_have_a_count_times_and_an_example(platform: Platform) -> None:
    (group,) = json.loads(run("list", "--json").stdout)
    assert (group["source"], group["count"]) == ("push", 2)
    assert group["example"].endswith("is in the future")
    assert group["first_at"] <= group["last_at"]
    assert "push" in run("list").stdout


def test_rows_are_shown_as_they_were_sent(platform: Platform) -> None:
    webhook(platform)
    text = run("show", "--limit", "1").stdout
    assert "[bold]" in text
    assert "no [red]" in text
    newest, _, oldest = json.loads(run("show", "--json").stdout)
    assert newest["row"] == "[bold]"
    assert json.loads(oldest["row"])["series"] == "shop/latency"


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--source", "push"], 2),
        (["--source", "pus"], 0),
        (["--reason", "Future"], 2),
        (["--since-h", "2"], 0),
        (["--since-h", "4"], 2),
        (["--limit", "1"], 1),
    ],
)
def test_options_choose_rows(platform: Platform, options: list[str], count: int) -> None:
    assert len(json.loads(run("show", "--json", *options).stdout)) == count
    if not count:
        assert run("show", *options).stdout == run("list", *options).stdout == "no dead letters\n"


def test_a_retry_stores_rows_and_fails_while_others_stay(platform: Platform) -> None:
    webhook(platform)
    report = json.loads(run("retry", "--json", code=1).stdout)
    assert (report["stored"], report["rejected_again"], report["not_retried"]) == (2, 0, 1)
    assert "send the webhook" in run("retry", code=1).stdout
    assert run("retry", "--source", "push").exit_code == 0
    assert platform.store.dead_letters.count() == 1


@pytest.mark.parametrize("options", [["--limit", "0"], ["--since-h", "-1"], ["--limit", "x"]])
@pytest.mark.parametrize("command", ["list", "show", "retry"])
def test_bad_options_are_bad_input(command: str, options: list[str]) -> None:
    run(command, *options, code=2)


def context(platform: Platform) -> TenantContext:
    return cast(TenantContext, Context(platform))


def test_the_route_lists_groups_and_rows(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook(platform)
    found = list_dead_letters(context(platform), DeadLettersQuery(reason="future", limit=1))
    assert [(one.source, one.count) for one in found.groups] == [("push", 2)]
    assert len(found.rows) == 1
    monkeypatch.setattr(dead_letters, "MAX_ROW_CHARS", 3)
    (row,) = list_dead_letters(context(platform), DeadLettersQuery(source="webhook:alerts")).rows
    assert row.row == "[bo"


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 1001}, {"reason": "\0"}, {"since": "yesterday"}, {"other": 1}]
)
def test_the_route_refuses_bad_queries(query: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DeadLettersQuery.model_validate(query)
