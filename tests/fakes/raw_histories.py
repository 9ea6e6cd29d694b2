"""Histories of raw series with all that happens to real ones: resets, gaps, missing scrapes, ends, NaN."""

import struct
from collections.abc import Iterator, Mapping

import numpy as np
from exporter_pages import PAGES, samples_of
from fakes.remote_write import compressed, time_series

from core.arrays import FloatArray

#: The mark of the end of a series.
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
SCRAPE_S = 15
SERIES_A_REQUEST = 150

#: Label sets of one series, and its samples: seconds after the first scrape, and values.
History = tuple[Mapping[str, str], list[tuple[float, float]]]


def raw_labels() -> list[Mapping[str, str]]:
    """The series of the pages of all exporters, each scraped from two targets, and those of an application."""
    return list({tuple(sorted(labels.items())): labels for labels in _raw_labels()}.values())


def _raw_labels() -> Iterator[Mapping[str, str]]:
    for path in sorted(PAGES.glob("*.prom")):
        for target in ("one", "two"):
            scraped = {"job": path.stem, "instance": f"{target}:9100"}
            yield {"__name__": "up", **scraped}
            for metric, found in samples_of(path.stem).items():
                for labels in found:
                    yield {"__name__": metric, **scraped, **labels}
    for pod in range(4):
        shop = {"job": "shop", "instance": f"10.0.0.{pod}:8080"}
        yield {"__name__": "orders_total", **shop}
        yield {"__name__": "queue_depth", **shop}
        for code in ("200", "404", "503"):
            requests = {"__name__": "http_request_duration_seconds", "code": code, **shop}
            yield {**requests, "__name__": "http_request_duration_seconds_count"}
            for le in ("0.05", "0.1", "0.5", "1", "1.0", "5", "+Inf"):
                yield {**requests, "__name__": "http_request_duration_seconds_bucket", "le": le}


def histories(minutes: float, counters: set[str], *, seed: int = 7) -> Iterator[History]:
    """The history of each series.

    Args:
        counters: the metrics that grow; they restart from 0 now and then.
    """
    random = np.random.default_rng(seed)
    for labels in raw_labels():
        scrapes = np.arange(0, minutes * 60, SCRAPE_S) + random.uniform(0, SCRAPE_S)
        times = np.round(scrapes + random.normal(0, 0.05, len(scrapes)), 3)
        if random.random() < 0.2:  # scrapes at whole multiples of the step
            times = np.round(scrapes / SCRAPE_S) * SCRAPE_S
        if labels["__name__"] in counters:
            values = _counts(random, len(times), labels.get("le"))
        else:
            values = np.round(random.uniform(0, 4, len(times)) * random.choice([1, 1e9]), 3)
            values[random.random(len(times)) < 0.01] = np.nan
            if random.random() < 0.2:
                values[random.random(len(times)) < 0.3] = 0
        yield labels, _scraped(random, times, values)


def requests_of(found: list[History]) -> Iterator[bytes]:
    """Requests of remote_write with these histories."""
    for at in range(0, len(found), SERIES_A_REQUEST):
        yield compressed(
            *(time_series(labels, samples) for labels, samples in found[at : at + SERIES_A_REQUEST])
        )


def _counts(random: np.random.Generator, length: int, le: str | None) -> FloatArray:
    rate = random.choice([0.0, 0.2, 5.0, 1e6]) if le is None else 2 + 10 * min(float(le), 2)
    grown = random.poisson(rate, length) + random.choice([0, 0.25])
    counts: FloatArray = random.choice([0, 1e3, 1e12]) + np.cumsum(grown)
    for restart in np.flatnonzero(random.random(length) < random.choice([0, 0, 0.03])):
        counts[restart:] -= counts[restart] - random.choice([0, 1, 3])
    return counts


def _scraped(
    random: np.random.Generator,
    times: FloatArray,
    values: FloatArray,
) -> list[tuple[float, float]]:
    """What a sender sends of it: some scrapes fail, some series start later, pause, or end."""
    kept = random.random(len(times)) > random.choice([0, 0.05, 0.5], p=[0.6, 0.3, 0.1])
    marked = np.zeros(len(times), dtype=bool)
    match random.choice(
        ["stays", "starts", "pauses", "pauses marked", "ends", "ends marked"], p=[0.5, *[0.1] * 5]
    ):
        case "starts":
            kept[: random.integers(1, len(times))] = False
        case "pauses" | "pauses marked" as kind:
            first = random.integers(1, len(times) // 2)
            kept[first : first + random.integers(2, len(times) // 2)] = False
            marked[first] = kind == "pauses marked"
        case "ends" | "ends marked" as kind:
            first = random.integers(1, len(times))
            kept[first:] = False
            marked[first] = kind == "ends marked"
    rows = zip(times, values, kept, marked, strict=True)
    return [
        (float(at), STALE if is_marked else float(value))
        for at, value, is_kept, is_marked in rows
        if is_kept or is_marked
    ]
