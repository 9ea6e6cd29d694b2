"""Store how long the steps of a watch cycle took."""

from collections.abc import Mapping

from core.watch_cycles import WatchCycle
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform


def record_cycle(
    platform: Platform, *, step_seconds: Mapping[str, float], progress: Progress = silent
) -> WatchCycle:
    """Store the cycle that began at the present of the platform.

    Args:
        step_seconds: step -> how long it took, in the order of the steps.
    """
    cycle = WatchCycle(at=platform.clock.now(), step_seconds=step_seconds)
    platform.store.watch_cycles.add(cycle)
    return cycle
