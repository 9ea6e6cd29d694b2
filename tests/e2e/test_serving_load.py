"""A Prometheus pushes a million samples a minute, and 16 clients ask `/detect`: nothing is lost, and probes answer."""

import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from e2e.fleet import Fleet
from e2e.soak_sizes import LOAD_PER_MINUTE, LOAD_S, SOAK_LOAD_S, SOAK_PER_MINUTE
from e2e.stored_load import assert_all_stored
from servers.load import (
    DETECT_CLIENTS,
    SHARDS,
    STEP_S,
    Address,
    Tally,
    ask_detect,
    detect_bodies,
    percentile_ms,
    probe,
    push,
    running,
)

from pipelines.stores.store import Store

#: Of processes that start at once on a busy machine.
START_S = 5.0


def load(fleet: Fleet, seconds: float) -> tuple[float, Tally]:
    """Send samples and ask, and check all that came back and what is stored.

    Returns:
        Samples stored a minute, and what the probe saw.
    """
    tenant = f"load_{milliseconds_now()}"
    start = datetime.fromtimestamp(
        time.time() // STEP_S * STEP_S - seconds * LOAD_PER_MINUTE / 60 / 5_000 * STEP_S - 3_600, UTC
    )
    writer = Address(fleet.settings.serve_port, fleet.tenancy.keys.create(tenant))
    asker = Address(fleet.settings.serve_port, fleet.keys["acme"])
    times = [(fleet.now - timedelta(seconds=37 * number)).isoformat() for number in range(500)]
    bodies = detect_bodies([one.series_id for one in fleet.series["acme"]], times)
    with ExitStack() as stack:

        def run(*call: Any) -> Any:
            return stack.enter_context(running(*call))

        asking = [run(ask_detect, asker, bodies, DETECT_CLIENTS // 2, seconds) for _ in range(2)]
        start_ms = round(start.timestamp() * 1_000)
        pushing = [run(push, writer, shard, start_ms, seconds, LOAD_PER_MINUTE) for shard in range(SHARDS)]
        probed: Tally = run(probe, asker, seconds)()
        pushed: list[Tally] = [one() for one in pushing]
        asked: list[Tally] = [one() for one in asking]
    per_minute = sum(60 * one.samples / one.lasted_s for one in pushed)
    print(f"\nremote_write: {per_minute:,.0f} samples a minute")
    print_latencies(pushed, asked, probed)
    assert [one.wrong for one in (*pushed, *asked, probed) if one.wrong] == []
    for shard, tally in enumerate(pushed):
        assert_all_stored(Store(fleet.tenancy.pool, tenant), shard, tally.samples, start)
    assert max(probed.seconds) < 1.0
    return per_minute, probed


def milliseconds_now() -> int:
    return time.time_ns() // 1_000_000


def print_latencies(pushed: list[Tally], asked: list[Tally], probed: Tally) -> None:
    for name, tallies in (("remote_write", pushed), ("/detect", asked), ("/livez", [probed])):
        seconds = [one for tally in tallies for one in tally.seconds]
        statuses = sum((tally.statuses for tally in tallies[1:]), tallies[0].statuses)
        print(
            f"{name}: {dict(statuses)}, p50 {percentile_ms(seconds, 0.5):.1f} ms,"
            f" p99 {percentile_ms(seconds, 0.99):.1f} ms, most {1_000 * max(seconds):.1f} ms"
        )


@pytest.mark.timeout(240)
def test_a_million_samples_a_minute_and_clients_on_detect_lose_nothing_and_probes_answer(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        load(fleet, LOAD_S)


@pytest.mark.soak
def test_a_million_samples_a_minute_are_kept_up_and_probes_answer_within_a_tenth_of_a_second(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        per_minute, probed = load(fleet, SOAK_LOAD_S)
    assert per_minute >= SOAK_PER_MINUTE
    assert percentile_ms(probed.seconds, 0.99) < 100.0
