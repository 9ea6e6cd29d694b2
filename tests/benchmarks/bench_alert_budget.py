"""The alert budget on quiet data, and the recall that it costs on planted incidents of known size."""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import polars as pl

from core.domain import Role, Series
from core.frames import EXCLUSIONS
from models.detect.bundle import DetectorBundle, DetectorOptions
from models.detect.episodes import find_episodes

START = datetime(2026, 1, 5, tzinfo=UTC)
LEARNED, JUDGED, SERIES = 30, 14, 24
BUDGETS = (1.0, 5.0, 20.0)
SIZES_SIGMA = (4.0, 6.0, 10.0)
LASTS = 6


@dataclass(frozen=True)
class Row:
    bearable_a_week: float
    false_a_week: float
    recall_by_sigma: dict[float, float]


def quiet_fleet(seed: int) -> tuple[list[Series], np.ndarray]:
    """Normal, autocorrelated and heavy-tailed noise, half of it on a daily course; (series, steps), sigma 2."""
    rng = np.random.default_rng(seed)
    steps = (LEARNED + JUDGED) * 288
    noise = rng.normal(size=(SERIES, steps))
    noise[2::3] = rng.standard_t(4, size=noise[2::3].shape) / np.sqrt(2)
    for k in range(1, steps):
        noise[1::3, k] = 0.8 * noise[1::3, k - 1] + 0.6 * noise[1::3, k]
    course = 10 * np.sin(2 * np.pi * np.arange(steps) / 288)
    values = 100 + 2 * noise + (np.arange(SERIES) % 2)[:, None] * course
    # An SLO where noise passes now and then: what stays past it weighs more, and the budget must hold all the same.
    series = [
        Series(
            tenant="t", service=f"s{i // 4}", metric=f"m{i}", role=Role.LATENCY, slo_threshold=106.0 + i % 2 * 10
        )
        for i in range(SERIES)
    ]  # fmt: skip
    return series, values


def frame(series: list[Series], values: np.ndarray, first_day: int) -> pl.DataFrame:
    steps = values.shape[1]
    seconds = int(START.timestamp()) + first_day * 86_400 + 300 * np.arange(steps)
    ts = pl.Series("ts", seconds * 1_000_000).cast(pl.Datetime("us", "UTC"))
    parts = [
        pl.DataFrame({"series_id": [one.series_id] * steps, "ts": ts, "value": row})
        for one, row in zip(series, values, strict=True)
    ]
    return pl.concat(parts).sort("series_id", "ts")


def episodes(bundle: DetectorBundle, samples: pl.DataFrame) -> dict[int, list[tuple[datetime, datetime]]]:
    """Series id -> start and end of each alarm."""
    found: dict[int, list[tuple[datetime, datetime]]] = {}
    for (key,), mine in bundle.score(samples).group_by("series_id"):
        spans = find_episodes(
            mine["ts"].dt.epoch("s").to_numpy(),
            mine["surprise"].to_numpy(),
            mine["is_anomaly"].to_numpy(),
            mine["deviation_sigma"].to_numpy(),
            step_s=300,
        )
        found[int(str(key))] = [(mine["ts"][span.first], mine["ts"][span.last]) for span in spans]
    return found


def main() -> list[Row]:
    """Measure and print a table."""
    series, values = quiet_fleet(1)
    border = LEARNED * 288
    history, future = frame(series, values[:, :border], 0), values[:, border:]
    results = []
    for budget in BUDGETS:
        bundle = DetectorBundle.fit(
            history,
            series,
            pl.DataFrame(schema=dict(EXCLUSIONS)),
            options=DetectorOptions(alarms_per_week=budget),
        )
        false = sum(map(len, episodes(bundle, frame(series, future, LEARNED)).values()))
        recalls = {}
        for size in SIZES_SIGMA:
            planted = future.copy()
            starts = np.random.default_rng(2).integers(288, future.shape[1] - 288, SERIES)
            for number, at in enumerate(starts):
                planted[number, at : at + LASTS] += 2 * size
            alarms = episodes(bundle, frame(series, planted, LEARNED))
            hits = 0
            for one, at in zip(series, starts, strict=True):
                begin = START + timedelta(days=LEARNED, minutes=5 * int(at))
                end = begin + timedelta(minutes=5 * LASTS)
                hits += any(low <= end and high >= begin for low, high in alarms.get(one.series_id, []))
            recalls[size] = hits / SERIES
        results.append(Row(budget, false / (JUDGED / 7), recalls))
    print(
        "| bearable a week | false alarms a week | "
        + " | ".join(f"recall at {s:g} sigma" for s in SIZES_SIGMA)
        + " |"
    )
    print("|---|---|" + "---|" * len(SIZES_SIGMA))
    for row in results:
        recall = " | ".join(f"{share:.2f}" for share in row.recall_by_sigma.values())
        print(f"| {row.bearable_a_week:g} | {row.false_a_week:.1f} | {recall} |")
    return results


if __name__ == "__main__":
    main()
