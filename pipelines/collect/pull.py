"""Pull new samples from the configured sources, before they are scored."""

from core.errors import InputError, UnavailableError
from pipelines.collect.ingest import IngestReport, ingest
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.sources.configured import configured_sources
from pipelines.sources.prometheus import PULLED


def pull(platform: Platform, progress: Progress = silent) -> IngestReport | None:
    """Ingest from each source that the settings name, such as `FOREWARN_PROMETHEUS_URL`.

    Returns:
        The sum over all sources; null where the settings name none, because then metrics are pushed.
    Raises:
        UnavailableError: a source does not answer; what the others have is ingested.
    """
    sources = configured_sources(
        platform.settings,
        platform.tenant,
        platform.clock,
        known_types=platform.store.metric_types.declared,
    )
    if not sources:
        return None
    report, failure = IngestReport(), None
    for source in sources:
        try:
            report += ingest(platform, source, progress=progress)
        except UnavailableError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return report


def require_same_source(platform: Platform) -> None:
    """Check that a source which was pulled by hand is configured, before schedules rely on it.

    Raises:
        InputError: the metrics came from a Prometheus that no setting names, so no watch cycle would read new ones.
    """
    settings = platform.settings
    if configured_sources(settings, platform.tenant, platform.clock):
        return
    pulled = [one.source for one in platform.store.cursors.list() if one.source.startswith(PULLED)]
    if pulled:
        raise InputError(
            f"no setting names a source, but metrics came from {pulled[0].removeprefix(PULLED).split()[0]}: set"
            " FOREWARN_PROMETHEUS_URL to it (and FOREWARN_PROMETHEUS_MATCH after --match,"
            " FOREWARN_PROMETHEUS_SIGNALS=true after --signals), so that each watch cycle reads new values"
        )
