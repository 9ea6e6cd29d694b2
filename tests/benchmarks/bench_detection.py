"""The shipped detection on the public sets, beside the two simplest baselines and the published anchors."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.bench.detect import DetectBenchReport, DetectionFigures, bench_detect

SETS = {"nab": "nab", "kpi": "kpi_aiops2018", "smd": "smd", "asd": "asd"}
ANCHORS = {
    "nab": "ARTime 74.9 / 65.2 / 80.4, random cut forest 51.7 / 38.4 / 59.7",
    "kpi": "TSB-AD's best 0.377 VUS-PR, Isolation Forest 0.277",
    "smd": "mean of squared z-scores 0.414 AP, Isolation Forest 0.296",
    "asd": "PCA 0.289 AP, Isolation Forest 0.202",
}


def main() -> list[DetectBenchReport]:
    """Measure and print a table; a set that is not there is left out."""
    root = Path(os.environ.get("FOREWARN_DATASETS", Path(__file__).parents[3] / "shared" / "datasets"))
    print(
        "| set | detector | NAB standard / low FP / low FN | VUS-PR | average precision | values a second | anchors |"
    )
    print("|---|---|---|---|---|---|---|")
    reports = []
    for name, folder in SETS.items():
        if not (root / folder).is_dir():
            print(f"| {name} | not measured: the data set is not there | | | | | |")
            continue
        report = bench_detect(root / folder, name)
        reports.append(report)
        for detector, figures in {"Forewarn": report.shipped, **report.baselines}.items():
            print(_line(name, detector, figures, ANCHORS[name] if detector == "Forewarn" else ""))
    return reports


def _line(name: str, detector: str, figures: DetectionFigures, anchors: str) -> str:
    nab = " / ".join(f"{score:.1f}" for score in figures.nab.values()) if figures.nab else ""
    return (
        f"| {name} | {detector} | {nab} | {figures.vus_pr or 0:.3f} | {figures.average_precision or 0:.3f} "
        f"| {figures.points_per_s:,.0f} | {anchors} |"
    )


if __name__ == "__main__":
    main()
