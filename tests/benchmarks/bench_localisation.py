"""Where injected faults come from: the shipped ranking beside the two simplest ones."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from pipelines.bench.localise import LocaliseBenchReport, LocaliseFigures, bench_localise

SETS = {"nezha": "nezha", "petshop": "petshop/low_traffic"}
NOTE = """
Suspects are ranked 5 minutes (PetShop: two values) after each fault. Nezha: learned from all that came before it,
so the first three, in the first 20 minutes of the data, cannot be found and count as missed; faults in code (return,
exception) have no metric of their own. PetShop tells only the place; learned from its days without issues."""


def main() -> list[LocaliseBenchReport]:
    """Measure and print a table; a set that is not there is left out."""
    root = Path(os.environ.get("FOREWARN_DATASETS", Path(__file__).parents[3] / "shared" / "datasets"))
    print(
        "| set | ranking | service first | service in 3 | service in 5 | with its kind, first | in 3 | in 3 by kind |"
    )
    print("|---|---|---|---|---|---|---|---|")
    reports = []
    for name, folder in SETS.items():
        if not (root / folder).is_dir():
            print(f"| {name} | not measured: the data set is not there | | | | | | |")
            continue
        report = bench_localise(root / folder, name)
        reports.append(report)
        print(_line(f"{name}, {report.faults} faults", "Forewarn", report.shipped))
        for ranking, figures in report.baselines.items():
            print(_line(name, ranking, figures))
    print(NOTE)
    return reports


def _line(name: str, ranking: str, figures: LocaliseFigures) -> str:
    known = ["" if share is None else f"{share:.2f}" for share in (figures.top_1, figures.top_3)]
    kinds = ", ".join(f"{kind} {share:.2f}" for kind, share in figures.top_3_by_kind.items())
    return (
        f"| {name} | {ranking} | {figures.service_top_1:.2f} | {figures.service_top_3:.2f} "
        f"| {figures.service_top_5:.2f} | {known[0]} | {known[1]} | {kinds} |"
    )


if __name__ == "__main__":
    main()
