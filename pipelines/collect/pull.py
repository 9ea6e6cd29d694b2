"""Pull what is new from the configured Prometheus, before it is scored."""

from pipelines.collect.ingest import IngestReport, ingest
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.sources.prometheus import configured_prometheus


def pull(platform: Platform, progress: Progress = silent) -> IngestReport | None:
    """Ingest from `FOREWARN_PROMETHEUS_URL`; null where none is set, for then others push.

    Raises:
        UnavailableError: Prometheus does not answer.
    """
    source = configured_prometheus(platform.settings, platform.tenant, platform.clock)
    return None if source is None else ingest(platform, source, progress=progress)
