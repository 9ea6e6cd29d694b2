"""`forewarn consume`: read metrics from queues, until it is stopped."""

import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from core.errors import InputError, UnavailableError
from flows.commands.console import AsJson, TenantOption, err, settings_for, show

if TYPE_CHECKING:
    from pipelines.collect.ingest import IngestReport
    from pipelines.common.tenant_platform import Platform
    from pipelines.sources.queues.queue_port import Queue

#: Connections to the database for each queue: one for its transaction and one for its lock.
_CONNECTIONS = 2


def consume(
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="Read what the queues have now, and end.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Read nothing. Fail if a queue is not being read, for health checks."),
    ] = False,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Read the queues of FOREWARN_QUEUES: Kafka, Redis Streams, NATS JetStream, Kinesis and Pub/Sub.

    It runs until you press Ctrl-C, and waits when a broker or the database does not answer. At the next start it goes
    on where it ended. Several processes can read the same queues.
    """
    from pipelines.collect.consume import drain
    from pipelines.collect.ingest import IngestReport
    from pipelines.sources.queues.configured import configured_queues
    from pipelines.wiring import open_tenancy

    settings = settings_for(tenant)
    queues = configured_queues(settings)
    if not queues:
        raise InputError(
            "no setting names a queue; set FOREWARN_QUEUES, for example to kafka://broker:9092/topic?format=otlp"
        )
    with open_tenancy(settings, connections=2 + _CONNECTIONS * len(queues)) as tenancy:
        platform = tenancy.platform(settings.tenant)
        if check:
            check_queues(platform)
        elif until_empty:
            show(sum((drain(platform, one) for one in queues), IngestReport()), as_json=as_json)
        else:
            _consume(platform, queues)


def check_queues(platform: "Platform") -> None:
    """Check that `forewarn consume` or the watch cycles read each queue.

    Raises:
        UnavailableError: a queue was not read lately.
    """
    from pipelines.operate.status_of_queues import queues

    problems = [part.problem for part in queues(platform) if part.problem]
    if problems:
        raise UnavailableError(" ".join(problems))


def _consume(platform: "Platform", queues: "list[Queue]") -> None:
    """Read each queue in a thread of its own, until the process is told to end or one of them fails."""
    from pipelines.collect.consume import consume

    screen, stop = _Screen(), threading.Event()
    for queue in queues:
        err.print(f"reading {queue.address.name}", soft_wrap=True)
    with ThreadPoolExecutor(len(queues)) as threads:
        running = [threads.submit(consume, platform, queue, stop, screen) for queue in queues]
        try:
            # Ctrl-C and SIGTERM end the wait with an exception; each thread then stores what it has fetched.
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
    for one in running:
        one.result()


class _Screen:
    """Prints what happens to queues: the same reason once, until messages come again."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._rejected: set[str] = set()

    def stored(self, queue: str, report: "IngestReport") -> None:
        if self._reasons.pop(queue, None):
            err.print(f"{queue}: reading again", soft_wrap=True)
        if report.rejected and queue not in self._rejected:
            self._rejected.add(queue)
            first = f": {report.first_rejected}" if report.first_rejected else ""
            err.print(
                f"{queue}: messages are rejected{first}; see forewarn dead-letters list", soft_wrap=True
            )

    def waits(self, queue: str, reason: str, wait_s: float) -> None:
        if self._reasons.get(queue) != reason:
            self._reasons[queue] = reason
            line = Text.assemble(
                (f"{queue}: ", "bold"), f"{reason.rstrip('.')}. It is tried again until it works."
            )
            err.print(line, soft_wrap=True)
