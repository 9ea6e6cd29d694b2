"""A request of remote_write is read as columns; its results are those of reading it series by series.

`remote_write_results.json` has the results of the version that read and stored the requests series by series.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.platform import platform_of
from fakes.remote_write import T0, compressed, label, sample, time_series, varint
from fakes.remote_write import field as message
from fakes.remote_write_cases import body_of, requests_of, stored_by
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.clock import FixedClock
from pipelines.collect.push import store_remote_write
from pipelines.sources.remote_write import RemoteWriteReceiver
from pipelines.sources.remote_write_series import TAIL_BYTES
from pipelines.stores.session import Pool
from pipelines.stores.store import Store

NOW = FixedClock(T0 + timedelta(days=1))
EXPECTED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "remote_write_results.json").read_text(encoding="utf-8")
)


def results_of(store: Store, bodies: Sequence[bytes]) -> dict[str, Any]:
    platform = platform_of(store, NOW)
    receiver = RemoteWriteReceiver(store.tenant)
    reports = [store_remote_write(platform, receiver, body, lambda batch: batch) for body in bodies]
    return {
        "reports": [[one.inserted, one.duplicates, one.rejected, one.series] for one in reports],
        **stored_by(store),
    }


def test_random_requests_give_the_recorded_results(pool: Pool) -> None:
    for seed, expected in EXPECTED.items():
        bodies = [body_of(parts) for parts in requests_of(int(seed))]
        assert results_of(Store(pool, f"recorded_{seed}"), bodies) == expected, f"seed {seed}"


@settings(
    max_examples=8,  # each stores about forty requests
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(1_000, 1_000_000))
def test_a_request_leaves_what_its_parts_leave_one_by_one(pool: Pool, seed: int) -> None:
    # A late count has a rate over the time since the count that is known when it comes, so the order must be the same.
    requests = requests_of(seed, in_order=True)
    together = results_of(Store(pool, f"together_{seed}"), [body_of(parts) for parts in requests])
    alone = results_of(
        Store(pool, f"alone_{seed}"), [body_of([part]) for parts in requests for part in parts]
    )
    for found in (together, alone):
        # Which of two values for one time is stored first, and which steps are learned from how many samples,
        # depends on where requests begin.
        found["dead_letters"] = len(found["dead_letters"])
        found["reports"] = [sum(one[0] for one in found["reports"]), sum(one[2] for one in found["reports"])]
    assert {name: together[name] for name in ("samples", "counts", "types")} == {
        name: alone[name] for name in ("samples", "counts", "types")
    }


HITS = [label("__name__", "hits"), label("job", "shop")]
ODD_TAILS = {
    "size in two bytes": varint(2 << 3 | 2) + b"\x90\x00" + sample(2.0, 15),
    "tag in two bytes": b"\x92\x00" + b"\x10" + sample(2.0, 15),
    "a time of five bytes": message(2, sample(2.0, 15)[:10] + varint(2**34)),
    "the time first": message(2, sample(2.0, 15)[9:] + sample(2.0, 15)[:9]),
    "two samples": message(2, sample(2.0, 15)) + message(2, sample(3.0, 30)),
    "a label after it": message(2, sample(2.0, 15)) + label("pod", "a"),
    "a sample that ends early": varint(2 << 3 | 2) + varint(17) + sample(2.0, 15),
    "a further field": message(2, sample(2.0, 15)) + message(9, b"0123456789abcdef"),
}


@pytest.mark.parametrize("name", ODD_TAILS)
def test_a_series_in_an_unusual_form_is_read_the_same_after_usual_ones(store: Store, name: str) -> None:
    """The receiver remembers the labels of usual messages; it must not take others for them."""
    receiver, fresh = RemoteWriteReceiver(store.tenant), RemoteWriteReceiver(store.tenant)
    usual, odd = b"".join([*HITS, message(2, sample(1.0, 0))]), b"".join([*HITS, ODD_TAILS[name]])
    assert len(usual) > TAIL_BYTES
    for _ in range(2):
        receiver.decode(compressed(message(1, usual), message(1, odd)))
    for content in (odd, usual, odd[:-1], odd + b"\x00"):
        found, expected = (one.decode(compressed(message(1, content))) for one in (receiver, fresh))
        assert found.values.tolist() == expected.values.tolist()
        assert found.times_ms.tolist() == expected.times_ms.tolist()
        assert [one.labels for one in found.series] == [one.labels for one in expected.series]
        assert found.rejected.equals(expected.rejected)


def test_many_series_are_forgotten_and_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.sources.remote_write.MAX_KNOWN", 10)
    receiver = RemoteWriteReceiver("acme")
    for turn in range(3):
        parts = [
            time_series({"__name__": "depth", "n": str(number)}, [(turn, float(number))])
            for number in range(25)
        ]
        request = receiver.decode(compressed(*parts))
        assert request.values.tolist() == [float(number) for number in range(25)]
        assert [one.labels["n"] for one in request.series] == [str(number) for number in range(25)]
