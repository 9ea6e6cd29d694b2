"""How good the default forecast is beside seasonal naive, Prophet, AutoETS and AutoARIMA: one run, the same series.

python tests/benchmarks/bench_peers.py               all sets
python tests/benchmarks/bench_peers.py worldcup98    some of them
python tests/benchmarks/bench_peers.py alone         the default alone, from many more origins: what intervals hold
python tests/benchmarks/bench_peers.py many nab_cpu  from as many origins, beside the quick peers
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.forecast.catalog import PEERS
from pipelines.bench.forecast import ForecastBenchReport, bench_forecast
from pipelines.bench.forecast_run import DEFAULT, ForecastSetup

DATASETS = Path(os.environ.get("FOREWARN_DATASETS", Path(__file__).parents[3] / "shared" / "datasets"))


@dataclass(frozen=True)
class Set:
    """A data set and how it is asked; nothing of it reaches the forecaster but its seasons.

    Attributes:
        origins: beside peers, of which some take a minute each. many: without them.
    """

    name: str
    folder: str
    data_format: str
    horizon: int
    season: tuple[int, ...]
    origins: int
    many: int
    files: str = "**/*.csv"


SETS = (
    Set("worldcup98", "worldcup98", "worldcup98", 24, (24, 168), 14, 56),
    Set("worldcup98_48h", "worldcup98", "worldcup98", 48, (24,), 7, 28),
    Set("nab_cpu", "nab/data/realAWSCloudwatch", "csv", 288, (288, 2016), 1, 7, "*cpu*.csv"),
    Set("nab_network", "nab/data/realAWSCloudwatch", "csv", 288, (288, 2016), 5, 7, "*network*.csv"),
    Set("kpi_5min", "kpi_aiops2018", "kpi", 288, (288, 2016), 1, 14),
)


#: Of the peers, those that take seconds and not a minute.
QUICK = ("seasonal_naive", "prophet")


def measure(one: Set, *, origins: int, peers: Sequence[str]) -> ForecastBenchReport:
    """The bench on the files of a set."""
    with tempfile.TemporaryDirectory() as folder:
        for file in (DATASETS / one.folder).glob(one.files):
            (Path(folder) / file.relative_to(DATASETS / one.folder).as_posix().replace("/", "_")).symlink_to(
                file
            )
        setup = ForecastSetup(horizon=one.horizon, season=one.season, origins=origins, peers=tuple(peers))
        return bench_forecast(Path(folder), one.data_format, setup)


def main(names: Sequence[str]) -> None:
    """Print a row for each model of each set; the promises are 0.90 of Prophet and 0.97 of the best peer."""
    alone, many = "alone" in names, "many" in names
    peers = () if alone else QUICK if many else PEERS
    asked = [name for name in names if name not in ("alone", "many")]
    print(
        "| set | series, origins | model | sMAPE | mean MASE | default by it | OWA | 80 % | 95 % | MSIS | s a series |"
    )
    print("|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for one in SETS:
        if asked and one.name not in asked:
            continue
        report = measure(one, origins=one.many if alone or many else one.origins, peers=peers)
        ours = report.models[DEFAULT].mase
        for name, figures in report.models.items():
            held = [f"{figures.coverage[level]:.3f}" if figures.coverage else "" for level in ("80", "95")]
            msis = f"{figures.msis:.2f}" if figures.coverage else ""
            print(
                f"| {one.name} | {report.series}, {report.origins} | {name} | {figures.smape:.2f} | {figures.mase:.3f} "
                f"| {ours / figures.mase:.3f} | {figures.owa:.3f} | {held[0]} | {held[1]} | {msis} "
                f"| {figures.seconds_a_series:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
