"""Deliver signals: put those that passed the filters into an outbox, and send them until each sink confirms.

A delivery leaves the outbox only after the receiver has confirmed it. If a receiver is down or a run is killed, nothing
is lost: Forewarn sends the signals again, under the same ids.

Only one process at a time delivers to a sink. The lock covers all lanes of the sink, because they depend on one
another: the end of an incident must not overtake its beginning.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.alerts import AlertSink
from core.domain import ServiceEdges
from core.errors import BusyError
from core.locks import delivery_lock
from core.outbox import DeliveryLane
from core.ports import SignalSink
from pipelines.common.progress import Progress, silent
from pipelines.common.service_graph import graph_of
from pipelines.common.tenant_platform import Platform
from pipelines.watch.sink_delivery import SinkDelivery, SinkReport

#: How long a run waits for another one that delivers to the same sink. A usual run takes seconds.
LOCK_WAIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """What happened in this run.

    Attributes:
        enqueued: new deliveries, over all sinks.
        sinks: sink name -> its report.
    """

    enqueued: int
    sinks: Mapping[str, SinkReport] = field(default_factory=dict)

    @property
    def delivered(self) -> dict[str, int]:
        return {name: report.delivered for name, report in self.sinks.items()}

    @property
    def failed(self) -> dict[str, int]:
        return {name: report.failed for name, report in self.sinks.items()}

    @property
    def errors(self) -> dict[str, str]:
        return {name: report.error for name, report in self.sinks.items() if report.error}


def deliver(
    platform: Platform,
    *,
    edges: ServiceEdges | None = None,
    lock_wait_s: float = LOCK_WAIT_S,
    progress: Progress = silent,
) -> DeliveryReport:
    """Enqueue new signals for every sink, and deliver what is due.

    A receiver that fails is in the report. It does not delay the other receivers.

    Args:
        edges: the service graph, (caller, callee); null: read it from the settings and the series.
        lock_wait_s: how long to wait, for each sink, for another run that delivers to it.
    """
    if edges is None:
        edges = graph_of(platform, platform.store.series.find())
    sinks = platform.sinks
    enqueued = sum(platform.store.deliveries.enqueue(sink.name, DeliveryLane.NEW) for sink in sinks)
    reports = {}
    for done, sink in enumerate(sinks):
        progress("deliver", done, len(sinks))
        reports[sink.name] = _deliver_alone(platform, sink, edges, lock_wait_s, progress)
    progress("deliver", len(sinks), len(sinks))
    return DeliveryReport(enqueued=enqueued, sinks=reports)


def _deliver_alone(
    platform: Platform,
    sink: SignalSink | AlertSink,
    edges: ServiceEdges,
    lock_wait_s: float,
    progress: Progress,
) -> SinkReport:
    """Deliver to a sink while no other process does; if another one does for too long, leave it to that one."""
    locks, name = platform.store.locks, delivery_lock(sink.name)
    owner = locks.owners([name])
    if owner and lock_wait_s > 0:
        progress(f"wait for {owner[0].owner}", 0, 0)
    try:
        with locks.hold(name, wait_s=lock_wait_s) as lock:
            return SinkDelivery(platform, sink, edges, lock).run()
    except BusyError as error:
        return SinkReport(error=f"{error}; this run sent nothing to {sink.name}")
