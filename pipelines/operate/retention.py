"""Retention: archive and delete what is older than the settings keep."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.operate.status_of_archive import waiting_sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionReport:
    """What a run of the retention did.

    Attributes:
        deleted: table -> rows.
        archived_days: how many days the archive has now.
        waiting: which days could not be archived, and why; null: none.
    """

    deleted: Mapping[str, int]
    archived_days: int
    waiting: str | None


@one_at_a_time("retention")
def apply_retention(platform: Platform, progress: Progress = silent) -> RetentionReport:
    """Delete what is older than the settings keep; with an archive, samples are written there first.

    Samples that cannot be archived are not deleted. On TimescaleDB the policies of the extension drop whole chunks, so
    that this function finds no samples and no rollups to delete.
    """
    progress("retention", 0, 1)
    deleted = platform.store.retention.apply(platform.settings, platform.clock.now())
    progress("retention", 1, 1)
    archive = platform.store.archive.summary()
    return RetentionReport(
        deleted=deleted,
        archived_days=archive.days,
        waiting=None if archive.wait is None else waiting_sentence(archive.wait),
    )
