"""Retention: delete what is older than the settings keep."""

from collections.abc import Mapping

from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform


def apply_retention(platform: Platform, progress: Progress = silent) -> Mapping[str, int]:
    """Delete what is older than the settings keep.

    On TimescaleDB the policies of the extension drop whole chunks, so that this function finds nothing to delete.

    Returns:
        table -> rows deleted.
    """
    progress("retention", 0, 1)
    deleted = platform.store.retention.apply(platform.settings, platform.clock.now())
    progress("retention", 1, 1)
    return deleted
