"""Retention: what is older than it may be kept goes."""

from collections.abc import Mapping

from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform


def apply_retention(platform: Platform, progress: Progress = silent) -> Mapping[str, int]:
    """Drop what is past its retention; returns rows dropped by table.

    On TimescaleDB the extension's own policies drop whole chunks, and this finds nothing left to do.
    """
    progress("retention", 0, 1)
    dropped = platform.store.retention.apply(platform.settings, platform.clock.now())
    progress("retention", 1, 1)
    return dropped
