"""The sources that the settings can name; `pipelines.collect.pull` pulls from each of them."""

from collections.abc import Callable, Iterable, Mapping

from core.clock import Clock
from core.ports import MetricSource
from core.pushed import PushedStores
from core.settings import Settings
from pipelines.sources.azure_monitor import AzureMonitorSource
from pipelines.sources.cloudwatch import CloudWatchSource
from pipelines.sources.cloudwatch_alarms import CloudWatchAlarms
from pipelines.sources.grafana_alerts import GrafanaAlerts
from pipelines.sources.peers import AllPeers, PeerSource, PrometheusPeers
from pipelines.sources.prometheus import PrometheusSource
from pipelines.sources.pushed_peers import PushedPeers
from pipelines.sources.pushed_signals import PushedSignals
from pipelines.sources.sidecars import DescribedSource, read_sidecars
from pipelines.sources.source_setup import SourceSetup

#: Builds the source of a tenant; null where the settings do not name it.
SourceBuilder = Callable[[SourceSetup], MetricSource | None]

#: Name -> builder. To add a source, write its file and add one line here. Alerts come before metrics, so that they do
#: not wait for a large pull.
SOURCES: dict[str, SourceBuilder] = {
    "cloudwatch_alarms": CloudWatchAlarms.configured,
    "grafana_alerts": GrafanaAlerts.configured,
    "prometheus": PrometheusSource.configured,
    "pushed": PushedSignals.configured,
    "cloudwatch": CloudWatchSource.configured,
    "azure_monitor": AzureMonitorSource.configured,
}


def configured_sources(
    settings: Settings,
    tenant: str,
    clock: Clock,
    *,
    names: Iterable[str] | None = None,
    known_types: Callable[[], Mapping[str, str]] = dict,
    pushed: PushedStores | None = None,
) -> list[MetricSource]:
    """The sources that the settings name, with what the sidecar files add to them.

    Args:
        names: keys of `SOURCES` to choose from; null: all.
        known_types: reads metric -> the type that sources declared earlier.
        pushed: what clients push; null: no golden signals are computed of them.
    Raises:
        InputError: a source is named but the folder of sidecar files does not exist, or its `series.csv` is invalid.
    """
    setup = SourceSetup(settings=settings, tenant=tenant, clock=clock, known_types=known_types, pushed=pushed)
    built = [SOURCES[name](setup) for name in (SOURCES if names is None else names)]
    sources = [source for source in built if source is not None]
    if not sources or settings.sidecars_dir is None:
        return sources
    sidecars = read_sidecars(settings.sidecars_dir, tenant)
    return [DescribedSource(source, sidecars) for source in sources]


def configured_peers(
    settings: Settings, tenant: str, clock: Clock, *, pushed: PushedStores | None = None
) -> PeerSource | None:
    """The sources that know the values of single replicas, as one; null where there is none.

    Args:
        pushed: what clients push; null: no golden signals are computed of it.
    """
    setup = SourceSetup(settings=settings, tenant=tenant, clock=clock, pushed=pushed)
    built = (PrometheusPeers.configured(setup), PushedPeers.configured(setup))
    sources = [source for source in built if source is not None]
    return AllPeers(sources) if sources else None
