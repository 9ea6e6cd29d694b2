"""`forewarn bench localise`: how often the true place and kind of a fault are among the first suspects.

The shipped detectors learn from the time before the fault. Some minutes after the fault, the suspects are ranked. Two
simple rankings are measured beside it: by the largest deviation of a metric, and by the number of metrics that deviate.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl

from core.frames import EXCLUSIONS
from core.json_text import json_text
from models.causes.localise import Deviation, Origin, deviations, origin_of, rank_suspects
from models.detect.bundle import DetectorBundle
from pipelines.bench.labelled_faults import Fault, read_faults
from pipelines.common.progress import Progress, silent

#: Suspects are ranked so long after the fault, but not before each series has two values since then.
AFTER = timedelta(minutes=5)
LEAST_STEPS = 2
#: Samples so long before the fault are scored too, because levels need them.
CONTEXT = timedelta(hours=2, minutes=30)

Place = tuple[str, Origin | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocaliseFigures:
    """The share of faults whose true place is among the first suspects.

    Attributes:
        service_top_1, service_top_3, service_top_5: the service is among the first 1, 3, 5.
        top_1, top_3: service and kind of origin are among the first 1, 3; null if the data set gives no origin.
        top_3_by_kind: kind of fault -> the share in the top 3, of service and origin or of the service alone.
    """

    service_top_1: float
    service_top_3: float
    service_top_5: float
    top_1: float | None
    top_3: float | None
    top_3_by_kind: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocaliseBenchReport:
    """The figures of the shipped ranking, and of the simple ones by name."""

    data_format: str
    faults: int
    shipped: LocaliseFigures
    baselines: dict[str, LocaliseFigures]


def bench_localise(
    path: Path, data_format: str, json_file: Path | None = None, progress: Progress = silent
) -> LocaliseBenchReport:
    """Rank the suspects of every fault of a data set and compare them with the true place.

    Raises:
        InputError: the path does not hold data of that format.
    """
    faults = list(read_faults(path, data_format))
    bundles: dict[int, DetectorBundle] = {}
    shipped: list[list[Place]] = []
    simple: dict[str, list[list[Place]]] = {name: [] for name in SIMPLEST}
    for done, fault in enumerate(faults):
        progress("localise", done, len(faults))
        key = id(fault.history)
        if key not in bundles:
            bundles = {key: _learn(fault)}
        found = _deviations(bundles[key], fault)
        suspects = rank_suspects(found, fault.edges)
        shipped.append([(one.service, one.origin) for one in suspects])
        for name, rank in SIMPLEST.items():
            simple[name].append(rank(found))
    progress("localise", len(faults), len(faults))
    report = LocaliseBenchReport(
        data_format=data_format,
        faults=len(faults),
        shipped=measure(faults, shipped),
        baselines={name: measure(faults, ranked) for name, ranked in simple.items()},
    )
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json_text(report) + "\n")
    return report


def measure(faults: Sequence[Fault], ranked: Sequence[Sequence[Place]]) -> LocaliseFigures:
    """The figures of one ranking, the likeliest place first."""

    def share(hit: Callable[[Fault, Sequence[Place]], bool], chosen: Sequence[int]) -> float:
        return sum(hit(faults[i], ranked[i]) for i in chosen) / max(len(chosen), 1)

    def service_in(first: int) -> Callable[[Fault, Sequence[Place]], bool]:
        return lambda fault, places: (
            fault.service in list(dict.fromkeys(service for service, _ in places))[:first]
        )

    def place_in(first: int) -> Callable[[Fault, Sequence[Place]], bool]:
        return lambda fault, places: (fault.service, fault.origin) in places[:first]

    every = range(len(faults))
    known = [i for i in every if faults[i].origin is not None]
    kinds = sorted({fault.kind for fault in faults})
    return LocaliseFigures(
        service_top_1=share(service_in(1), every),
        service_top_3=share(service_in(3), every),
        service_top_5=share(service_in(5), every),
        top_1=share(place_in(1), known) if known else None,
        top_3=share(place_in(3), known) if known else None,
        top_3_by_kind={
            kind: share(place_in(3) if known else service_in(3), [i for i in every if faults[i].kind == kind])
            for kind in kinds
        },
    )


def _learn(fault: Fault) -> DetectorBundle:
    return DetectorBundle.fit(fault.history, fault.series, pl.DataFrame(schema=dict(EXCLUSIONS)))


def _deviations(bundle: DetectorBundle, fault: Fault) -> list[Deviation]:
    """The deviations at the moment of the ranking; none if there was too little history to learn from."""
    known = {key: one.series for key, one in bundle.models.items()}
    if not known:
        return []
    step = timedelta(seconds=max(one.step_s for one in known.values()))
    until = fault.at + max(AFTER, LEAST_STEPS * step)
    seen = fault.recent.filter(pl.col("ts").is_between(fault.at - CONTEXT, until, closed="left"))
    scored = bundle.score(seen.filter(pl.col("series_id").is_in(list(known))))
    return deviations(scored, known, onset=fault.at, until=until)


def _by_size(found: Sequence[Deviation]) -> list[Place]:
    ordered = sorted(found, key=lambda one: -abs(one.sigma))
    return list(
        dict.fromkeys((one.series.service, origin_of(one.series) or Origin.SERVICE) for one in ordered)
    )


def _by_number(found: Sequence[Deviation]) -> list[Place]:
    out = Counter(one.series.service for one in found if abs(one.sigma) > OUT_SIGMA)
    return sorted(_by_size(found), key=lambda place: -out[place[0]])


#: A metric deviates beyond so many sigma.
OUT_SIGMA = 3.0
SIMPLEST: dict[str, Callable[[Sequence[Deviation]], list[Place]]] = {
    "largest deviation": _by_size,
    "most metrics that deviate": _by_number,
}
