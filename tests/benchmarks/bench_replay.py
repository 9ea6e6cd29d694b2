"""A replay of a simulated fleet: the alerts that people would have received, what they were worth, and its cost.

    python tests/benchmarks/bench_replay.py            14 days, over an hour
    python tests/benchmarks/bench_replay.py 1          others: one takes about eight minutes

The first simulator's fleet of 20 services with eight series each, and a cycle every five minutes after 30 days of
history. Everything runs as `forewarn replay` runs it. Truth are the incidents of the simulator. It also has causes that
act and stop by themselves: an alert about one of these is counted apart, as the alert of a true precursor.
"""

import os
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.clock import FixedClock
from core.settings import Settings
from models.lifecycle.event_matching import RECOVERY
from models.lifecycle.replay_figures import first_messages
from models.lifecycle.replay_words import figure_lines, share
from pipelines.collect.ingest import ingest
from pipelines.replay.plan import HISTORY, ReplayPlan
from pipelines.replay.report import ReplayReport, report_of_replay
from pipelines.replay.run import replay
from pipelines.sources.simulated import SimulatedFleet
from pipelines.stores.ready import down
from pipelines.wiring import open_platform

SERVICES, DAYS, SEED, EVERY_S = 20, 14.0, 7, 300
END = datetime(2026, 3, 1, 12, tzinfo=UTC)
TENANT = "bench"


def main(days: float) -> None:
    fleet = SimulatedFleet(
        SERVICES, days + HISTORY / timedelta(days=1) + 1, seed=SEED, end=END, tenant=TENANT
    )
    plan = ReplayPlan(name="bench", tenant=TENANT, start=END - timedelta(days=days), end=END, every_s=EVERY_S)
    with tempfile.TemporaryDirectory(dir=os.environ.get("FOREWARN_BENCH_HOME")) as home:
        settings = Settings(
            _env_file=None, tenant=TENANT, data_dir=Path(home) / "data", mlruns_dir=Path(home) / "mlruns"
        )
        try:
            with open_platform(settings, clock=FixedClock(END)) as live:
                ingest(live, fleet)
                folder = replay(live, plan)
                report = report_of_replay(live, plan.name)
            down(folder.settings(settings))
        finally:
            down(settings)
    print(f"| {days:g} days of {len(fleet.series)} series | |")
    print("|---|---|")
    for name, text in figure_lines(report.figures):
        print(f"| {name.strip()} | {text} |")
    print(f"| alerts on true incidents or precursors | {share(of_true_causes(report, fleet))} |")


def of_true_causes(report: ReplayReport, fleet: SimulatedFleet) -> float | None:
    """The share of alerts that are about a true incident, or about a cause that acts at their service."""
    begins, false = first_messages(report.messages), set(report.figures.false_alerts)
    are = [
        one.alert_id not in false
        or any(
            cause.service == one.service and cause.start <= one.at <= cause.until + RECOVERY
            for cause in fleet.truth.precursors
        )
        for one in begins
    ]
    return sum(are) / len(are) if are else None


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else DAYS)
