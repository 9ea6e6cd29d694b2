"""Pull new samples from the configured sources and queues, before they are scored."""

from contextlib import suppress
from functools import partial

from core.errors import BusyError, InputError, UnavailableError
from pipelines.collect.consume import PULL_S, drain
from pipelines.collect.ingest import IngestReport, ingest
from pipelines.common.progress import Progress, silent
from pipelines.common.pushed_stores import pushed_stores
from pipelines.common.tenant_platform import Platform
from pipelines.sources.configured import configured_sources
from pipelines.sources.prometheus import PULLED
from pipelines.sources.queues.configured import configured_queues
from pipelines.sources.queues.queue_port import Queue


def pull(platform: Platform, progress: Progress = silent) -> IngestReport | None:
    """Ingest from each source and queue that the settings name, such as `FOREWARN_PROMETHEUS_URL`.

    Returns:
        The sum over all sources; null where there is none. Metrics are then pushed, and stored as raw series.
    Raises:
        UnavailableError: a source does not answer; what the others have is ingested. `forewarn status`
            shows since when.
        InputError: a source refuses the login or a query; likewise.
    """
    settings, store = platform.settings, platform.store
    sources = configured_sources(
        settings,
        platform.tenant,
        platform.clock,
        known_types=store.metric_types.declared,
        pushed=pushed_stores(platform),
    )
    queues = configured_queues(platform.settings)
    if not (sources or queues):
        return None
    reads = {source.name: partial(ingest, platform, source, progress=progress) for source in sources}
    reads |= {queue.address.name: partial(_drained, platform, queue) for queue in queues}
    report, failure = IngestReport(), None
    for name, read in reads.items():
        try:
            one = read()
        except (UnavailableError, InputError) as error:
            failure = failure or error
            with suppress(UnavailableError):  # the database may be what does not answer
                store.source_states.failed(name, platform.clock.now(), str(error))
        else:
            report += one
            store.source_states.worked(name, one.notes if one.series else None)
    if failure is not None:
        raise failure
    return report


def _drained(platform: Platform, queue: Queue) -> IngestReport:
    try:
        return drain(platform, queue, patience_s=PULL_S)
    except BusyError:
        return IngestReport()  # `forewarn consume` reads it


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
            " FOREWARN_GOLDEN_SIGNALS=true after --signals), so that each watch cycle reads new values"
        )
