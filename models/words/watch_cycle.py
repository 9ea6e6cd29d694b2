"""Texts about watch cycles."""

from core.formatting import format_duration
from core.watch_cycles import WATCH_EVERY_S, WatchCycle


def late_cycle(cycle: WatchCycle) -> str:
    """That a cycle took longer than there is time for, and which step took longest."""
    step = cycle.slowest_step
    name = "pull" if step == "pulled" else step.replace("_", " ")
    return (
        f"the watch cycle of {cycle.at:%H:%M} UTC took {format_duration(cycle.seconds)}, longer than the"
        f" {format_duration(WATCH_EVERY_S)} between cycles; those that fell due meanwhile are skipped. The slowest step"
        f" was {name} ({format_duration(cycle.step_seconds[step])})"
    )
