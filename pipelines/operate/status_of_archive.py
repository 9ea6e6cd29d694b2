"""The state of the archive of raw samples."""

from collections.abc import Iterator

from core.archive import ArchiveSummary, ArchiveWait
from pipelines.common.tenant_platform import Platform
from pipelines.operate.status_part import StatusPart

_MB = 1_000_000


def archive(platform: Platform) -> Iterator[StatusPart]:
    """What the archive has; nothing where there is none and never was one."""
    summary = platform.store.archive.summary()
    configured = platform.settings.archive_url is not None
    if not configured and not summary.days:
        return
    problem = None
    if not configured:
        problem = (
            f"{summary.days} days are archived, and FOREWARN_ARCHIVE_URL is not set: their samples are not read."
            " Set it again."
        )
    elif summary.wait is not None:
        problem = waiting_sentence(summary.wait)
    yield StatusPart(name="archive", state=_contents(summary), as_of=summary.verified_at, problem=problem)


def waiting_sentence(wait: ArchiveWait) -> str:
    """Which days wait for the archive, since when and why."""
    days = f"{wait.first}" if wait.days == 1 else f"{wait.days} days from {wait.first} to {wait.last}"
    return (
        f"The samples of {days} wait for the archive since {wait.since:%Y-%m-%d %H:%M} UTC and are not deleted:"
        f" {wait.error}."
    )


def _contents(summary: ArchiveSummary) -> str:
    if not summary.days:
        return "no days yet"
    return (
        f"{summary.days} days from {summary.first} to {summary.last}, {summary.samples} samples in"
        f" {summary.size_bytes / _MB:.1f} MB"
    )
