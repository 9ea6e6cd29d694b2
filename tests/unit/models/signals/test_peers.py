"""Signals about replicas: how they open, go on and end, and how they read."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from fakes.recipes import recipe_of

from core.domain import Event, EventKind, Role, Series, Severity, Signal, SignalKind
from models.peers.groups import PeerGroup
from models.signals.peers import peer_signals
from models.words.one_line import describe
from models.words.peers import replica_name

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
STEP_S, STEPS = 300, 24
RECIPE = recipe_of("http_request_duration_p90_seconds", "seconds", role=Role.LATENCY, peers=True)


def group(since: int | None, until: int = STEPS, *, now: datetime = NOW, value: float = 1.2) -> PeerGroup:
    """Six pods at 0.11 to 0.14 s; the last one has another value from one step to another."""
    recent = np.tile(np.linspace(0.11, 0.14, 6)[:, None], (1, STEPS))
    if since is not None:
        recent[5, since:until] = value
    last = int(now.timestamp())
    return PeerGroup(
        recipe=RECIPE,
        replicas=tuple(
            Series(
                tenant="acme", service="checkout", metric=RECIPE.signal, unit="seconds", role=RECIPE.role,
                labels={"pod": f"checkout-7d9f-x{row}", "instance": f"10.0.0.{row}:80"},
                direction=RECIPE.direction,
            )
            for row in range(6)
        ),
        times_s=np.arange(last - (STEPS - 1) * STEP_S, last + 1, STEP_S),
        recent=recent,
        past=np.tile(np.linspace(0.11, 0.14, 6)[:, None], (1, 72)),
    )  # fmt: skip


def opened() -> Signal:
    (signal,) = peer_signals([group(19)], [], NOW)
    return signal


def test_an_outlier_names_the_pod_its_value_and_that_of_its_peers() -> None:
    signal = opened()
    assert signal.summary == (
        "checkout: http_request_duration_p90_seconds of pod checkout-7d9f-x5 at 1.2 s,"
        " its 5 peers at 110 ms to 134 ms, for 20 min"
    )
    assert describe(signal, NOW + timedelta(minutes=5)) == signal.summary.replace("20 min", "25 min")
    assert (signal.kind, signal.severity, signal.suppressed_by) == (
        SignalKind.ANOMALY,
        Severity.WARNING,
        None,
    )
    assert signal.labels["pod"] == "checkout-7d9f-x5"
    assert signal.started_at == NOW - timedelta(minutes=20)


def test_equal_replicas_give_no_signal() -> None:
    assert peer_signals([group(None)], [], NOW) == []


def test_a_known_signal_goes_on_with_its_id_start_and_peak() -> None:
    before = opened()
    later = NOW + timedelta(hours=4)
    (signal,) = peer_signals([group(0, now=later, value=0.9)], [before], later)
    assert (signal.signal_id, signal.started_at, signal.ended_at) == (
        before.signal_id,
        before.started_at,
        None,
    )
    assert signal.value == 1.2
    assert "for 4 h 20 min" in signal.summary


def test_a_signal_ends_when_the_replica_is_like_its_peers_again() -> None:
    before = opened()
    later = NOW + timedelta(minutes=30)
    (signal,) = peer_signals([group(13, 18, now=later)], [before], later)
    assert (signal.signal_id, signal.ended_at) == (before.signal_id, NOW)
    assert describe(signal, later).endswith("for 20 min, over")


@pytest.mark.parametrize("leaves", [True, False], ids=["the pod", "the whole group"])
def test_a_signal_ends_when_the_pod_has_gone(leaves: bool) -> None:
    before = opened()
    later = NOW + timedelta(hours=3)
    left = group(None, now=later)
    left = replace(left, replicas=left.replicas[:5], recent=left.recent[:5], past=left.past[:5])
    (signal,) = peer_signals([left] if leaves else [], [before], later)
    assert (signal.signal_id, signal.ended_at) == (before.signal_id, later)


def test_maintenance_explains_a_difference() -> None:
    window = Event(
        tenant="acme", service="checkout", kind=EventKind.MAINTENANCE,
        at=NOW - timedelta(hours=1), until=NOW + timedelta(hours=1),
    )  # fmt: skip
    (signal,) = peer_signals([group(19)], [], NOW, [window])
    assert (signal.suppressed_by, signal.severity) == ("slo_impact", Severity.INFO)


@pytest.mark.parametrize(
    ("service", "labels", "name"),
    [
        ("web1", {"instance": "web1:9100"}, ""),
        ("web1", {"instance": "web1:9100", "device": "sdb"}, "device sdb"),
        ("shop", {"instance": "10.0.0.1:80"}, "instance 10.0.0.1:80"),
        ("shop", {"instance": "10.0.0.1:80", "pod": "shop-x2", "namespace": "web"}, "pod shop-x2"),
    ],
)
def test_a_replica_is_named_as_people_call_it(service: str, labels: dict[str, str], name: str) -> None:
    assert replica_name(service, labels) == name
