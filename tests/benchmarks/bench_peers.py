"""How good the default forecast is beside seasonal naive, Prophet, AutoETS and AutoARIMA: one run, the same series.

python tests/benchmarks/bench_peers.py               all sets
python tests/benchmarks/bench_peers.py worldcup98    some of them
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.bench_forecast import DEFAULT, ForecastBench, bench_forecast

DATASETS = Path(os.environ.get("FOREWARN_DATASETS", Path(__file__).parents[3] / "shared" / "datasets"))


@dataclass(frozen=True)
class Set:
    """A data set and how it is asked; nothing of it reaches the forecaster but its seasons."""

    name: str
    folder: str
    data_format: str
    horizon: int
    season: tuple[int, ...]
    origins: int
    files: str = "**/*.csv"


SETS = (
    Set("worldcup98", "worldcup98", "worldcup98", 24, (24, 168), 14),
    Set("nab_cpu", "nab/data/realAWSCloudwatch", "csv", 288, (288, 2016), 1, "*cpu*.csv"),
    Set("nab_network", "nab/data/realAWSCloudwatch", "csv", 288, (288, 2016), 1, "*network*.csv"),
    Set("kpi_5min", "kpi_aiops2018", "kpi", 288, (288, 2016), 1),
)


def measure(one: Set) -> ForecastBench:
    """The bench with peers on the files of a set."""
    with tempfile.TemporaryDirectory() as folder:
        for file in (DATASETS / one.folder).glob(one.files):
            (Path(folder) / file.relative_to(DATASETS / one.folder).as_posix().replace("/", "_")).symlink_to(
                file
            )
        return bench_forecast(
            Path(folder),
            one.data_format,
            horizon=one.horizon,
            season=one.season,
            origins=one.origins,
            peers=True,
        )


def main(names: Sequence[str]) -> None:
    """Print a row for each model of each set; the promises are 0.90 of Prophet and 0.97 of the best peer."""
    print("| set | series, origins | model | mean MASE | default by it | 80 % | 95 % | s a series |")
    print("|---|---|---|---:|---:|---:|---:|---:|")
    for one in SETS:
        if names and one.name not in names:
            continue
        report = measure(one)
        ours = report.models[DEFAULT].mase
        for name, figures in report.models.items():
            held = [f"{figures.coverage[level]:.3f}" if figures.coverage else "" for level in ("80", "95")]
            print(
                f"| {one.name} | {report.series}, {report.origins} | {name} | {figures.mase:.3f} "
                f"| {ours / figures.mase:.3f} | {held[0]} | {held[1]} | {figures.seconds_a_series:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
