"""Pull new samples from the configured sources, before they are scored."""

from pipelines.collect.ingest import IngestReport, ingest
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.sources.configured import configured_sources


def pull(platform: Platform, progress: Progress = silent) -> IngestReport | None:
    """Ingest from each source that the settings name, such as `FOREWARN_PROMETHEUS_URL`.

    Returns:
        The sum over all sources; null where the settings name none, because then metrics are pushed.
    Raises:
        UnavailableError: a source does not answer; what was ingested before stays.
    """
    sources = configured_sources(
        platform.settings,
        platform.tenant,
        platform.clock,
        known_types=platform.store.metric_types.declared,
    )
    if not sources:
        return None
    return sum((ingest(platform, source, progress=progress) for source in sources), IngestReport())
