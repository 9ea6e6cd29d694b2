"""Random requests of remote_write with all that senders send, the same for the same seed."""

import json
import random
import struct
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from fakes.remote_write import T0, compressed, field, label, metadata, sample, varint

from pipelines.stores.store import Store

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
#: Values of gauges; counters count on, fall back, wrap, or fail to be read.
VALUES = (
    0.0,
    -0.0,
    1.5,
    -3.25,
    5e-324,
    1.7e308,
    -1.7e308,
    1e18,
    0.1 + 0.2,
    STALE,
    float("inf"),
    float("nan"),
)
NAMES = (
    "depth",
    "hits_total",
    "rpc_seconds_count",
    "rpc_seconds",
    "jobs_done",
    "cpu_ratio",
    "disk_used_bytes",
)
#: Samples come late, at odd times, a long time ahead, and mostly on time.
SHIFTS_S = (*[0.0] * 16, -60.0, -60.0, -15.0, -15.0, 0.25, 200_000.0)
TYPES = ("jobs_done", "rpc_seconds", "hits_total", "depth")


def requests_of(seed: int, *, in_order: bool = False) -> list[list[bytes]]:
    """The parts of some requests, which belong together.

    Args:
        in_order: no sample comes before an older one of its series, besides those that are sent again.
    """
    shifts_s = (0.0,) if in_order else SHIFTS_S
    rng = random.Random(seed)
    known = [_labels(rng, number) for number in range(rng.randint(2, 12))]
    counts = [float(rng.choice((0, 10, 2**32 - 100))) for _ in known]
    sent: list[list[bytes]] = []
    for turn in range(rng.randint(2, 6)):
        if sent and rng.random() < 0.15:
            sent.append(rng.choice(sent))
            continue
        parts: list[bytes] = []
        for number, labels in enumerate(known):
            times = rng.choice((0, 1, 1, 1, 1, 2))
            parts.extend(_series(rng, labels, counts, (number, turn), shifts_s) for _ in range(times))
        if rng.random() < 0.3:
            parts.insert(rng.randint(0, len(parts)), metadata(rng.choice(TYPES), rng.randint(0, 4)))
        if rng.random() < 0.3:
            parts.insert(rng.randint(0, len(parts)), _bad(rng))
        sent.append(parts)
    return sent


def body_of(parts: Sequence[bytes]) -> bytes:
    return compressed(*parts)


def stored_by(store: Store) -> dict[str, Any]:
    """All that requests left in a store, as JSON."""
    series = store.series.find()
    numbers = {one.series_id: number for number, one in enumerate(series)}
    frame = store.samples.read(T0 - timedelta(days=1), T0 + timedelta(days=3))
    counters = store.counters.recent(list(numbers), lock=False)

    def rows(found: Any) -> list[list[Any]]:
        """Number of the series below, milliseconds after `T0`, value."""
        return sorted(
            [numbers[one], round((ts - T0).total_seconds() * 1000), value]
            for one, ts, value in found.iter_rows()
        )

    letters = store.dead_letters.list(10_000)
    found = {
        "series": [[_short(one.name), one.kind, one.unit, one.role, one.step_s] for one in series],
        "samples": rows(frame),
        "counts": rows(counters),
        "dead_letters": sorted([one.source, _short(_recorded(one.row)), one.reason] for one in letters),
        "types": store.metric_types.declared(),
    }
    return dict(json.loads(json.dumps(found)))


def _recorded(row: str) -> str:
    """The row without what was added after the results were recorded."""
    added = {"series_id", "rate"}
    return json.dumps({name: value for name, value in json.loads(row).items() if name not in added})


def _short(text: str) -> str:
    return text if len(text) < 200 else f"{text[:100]}, and {len(text) - 100} more"


def _labels(rng: random.Random, number: int) -> list[tuple[str, str]]:
    labels = [("__name__", rng.choice(NAMES)), ("job", rng.choice(("shop", "cart"))), ("n", str(number))]
    labels += [("pod", "")] * rng.randint(0, 1) + [
        ("mount", "/dätä " * rng.choice((1, 1, 1, 400)))
    ] * rng.randint(0, 1)
    return labels


def _series(
    rng: random.Random,
    labels: Sequence[tuple[str, str]],
    counts: list[float],
    place: tuple[int, int],
    shifts_s: Sequence[float],
) -> bytes:
    """Some samples of a series; `place`: its number among the series, and the number of the request."""
    number, turn = place
    samples = []
    for step in range(rng.choice((1, 1, 1, 2, 3))):
        at_s = 60 * turn + 15 * step + rng.choice(shifts_s)
        if labels[0][1] in {"depth", "cpu_ratio", "disk_used_bytes"}:
            value = rng.choice(VALUES) if rng.random() < 0.4 else rng.uniform(0, 1)
        else:
            counts[number] += rng.choice((0, 1, 30, 30, 200))
            value = (
                rng.choice((0.0, -1.0, counts[number] * 0.995, STALE))
                if rng.random() < 0.2
                else counts[number]
            )
        samples.append(field(2, _sample(rng, value, at_s)))
    texts = [label(name, value) for name, value in labels]
    more = [field(4, b"\x08\x03")] * (rng.random() < 0.05)
    if rng.random() < 0.1:
        # fields of a message may come in any order
        content = [*samples, *more, *texts]
        rng.shuffle(content)
        return field(1, b"".join(content))
    return field(1, b"".join([*texts, *samples, *more]))


def _sample(rng: random.Random, value: float, at_s: float) -> bytes:
    usual = sample(value, at_s)
    kind = rng.random()
    if kind < 0.85:
        return usual
    if kind < 0.92:
        return usual[9:] + usual[:9]  # the time first
    if kind < 0.95:
        return usual + field(7, b"further")
    if kind < 0.97:
        return usual[9:]  # without a value, which is then 0
    return rng.choice(
        (b"\x12\x00", varint(2 << 3) + b"\xff" * 11, usual[:9] + varint(2 << 3) + varint(1 << 62), usual[:-1])
    )


def _bad(rng: random.Random) -> bytes:
    return rng.choice(
        (
            field(1, label("job", "x") + field(2, sample(1.0, 0))),
            field(1, label("__name__", "bad") + label("msg", "a\0b") + field(2, sample(1.0, 0))),
            field(1, label("__name__", "bad") + label("msg", b"caf\xe9") + field(2, sample(1.0, 0))),
            field(1, label("__name__", "bad") + label("a", "1") + label("a", "2") + field(2, sample(1.0, 0))),
            field(1, label("__name__", "bad") + label("job", "x" * 9_000) + field(2, sample(1.0, 0))),
            field(1, b"\x0a\xff"),
            field(1, field(1, b"\x08\x01")),
            field(3, field(2, b"\xff")),
            field(1, b""),
        )
    )
