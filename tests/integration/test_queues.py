"""Queues on real brokers: content arrives once, bad messages are dead letters, and outages are waited out."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from threading import Event

import pytest
import redis
from fakes.platform import platform_of
from fakes.queue_messages import GARBAGE, MESSAGES, of_json
from fakes.remote_write import T0
from pydantic import SecretStr
from servers.queues import Broker, KafkaBroker, NatsBroker, RedisBroker, broker

from core.clock import FixedClock
from core.errors import BusyError, ConfigurationError, UnavailableError
from core.locks import LockOwner, ingest_lock
from core.queue_cursors import QueueCursor, cursor_name
from core.settings import Settings
from flows.commands.consume import check_queues
from pipelines.collect import consume as consume_module
from pipelines.collect.consume import Silent, _Reading, consume, drain
from pipelines.collect.ingest import IngestReport
from pipelines.collect.pull import pull
from pipelines.common.tenant_platform import Platform
from pipelines.operate.status_of_queues import queues
from pipelines.sources.queues.configured import configured_queues
from pipelines.sources.queues.queue_port import Queue
from pipelines.stores.session import Pool
from pipelines.stores.store import Store

#: The queues with positions: two consumers can fetch the same message.
KINDS = ("kafka", "redis", "nats", "kinesis")
NOW = T0 + timedelta(days=1)
#: The broker divides the partitions anew after a session has ended, and on a busy machine not at the first try.
REBALANCE_S = 120.0
_NUMBERS = count()


@pytest.fixture
def store(pool: Pool) -> Store:
    """The store of a tenant that no other test has; names of tests are too long for one."""
    return Store(pool, f"queues{next(_NUMBERS)}")


class Heard(Silent):
    """Remembers why queues could not be read, and how many samples are stored."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.inserted = 0

    def stored(self, queue: str, report: IngestReport) -> None:
        self.inserted += report.inserted

    def waits(self, queue: str, reason: str, wait_s: float) -> None:
        self.reasons.append(reason)


def reader(store: Store, url: str) -> tuple[Platform, Queue]:
    settings = Settings(_env_file=None, queues=(SecretStr(url),))
    (queue,) = configured_queues(settings)
    return platform_of(store, FixedClock(NOW), settings=settings), queue


def values(store: Store) -> list[float]:
    """The values of the series of `fakes.queue_messages`, in the order of time."""
    found = store.series.find(metric="depth")
    frame = store.samples.read(T0, NOW, [one.series_id for one in found])
    return frame.sort("ts")["value"].to_list()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [("kafka", "otlp"), ("redis", "remote_write"), ("nats", "json"), ("kinesis", "otlp"), ("pubsub", "otlp")],
)
def test_each_message_is_stored_once_and_a_bad_one_is_a_dead_letter(
    kind: str, payload: str, store: Store, tmp_path: Path
) -> None:
    message = MESSAGES[payload]
    with broker(kind, tmp_path) as server:
        server.send([message(0), GARBAGE, message(1)])
        platform, queue = reader(store, f"{server.url}format={payload}")
        assert drain(platform, queue) == IngestReport(inserted=2, rejected=1, series=2 - (payload == "json"))
        assert drain(platform, queue) == IngestReport()
        server.send([message(2)])
        assert pull(platform) == IngestReport(inserted=1, series=1)
    (series,) = store.series.find(metric="depth")
    assert (series.service, series.labels["queue"]) == ("shop", "mail")
    assert values(store) == [0.0, 1.0, 2.0]
    (letter,) = store.dead_letters.list()
    assert letter.source == queue.address.name
    place = {
        "kafka": "partition 0, offset 1: ",
        "redis": "entry ",
        "nats": "fleet.one, sequence 2: ",
        "kinesis": "shardId-000000000000, sequence number 2: ",
        "pubsub": "message 2: ",
    }[kind]
    assert letter.reason.startswith(place)


@pytest.mark.parametrize("payload", ["remote_write", "otlp"])
def test_golden_signals_are_computed_of_the_raw_samples_in_a_queue(
    payload: str, store: Store, tmp_path: Path
) -> None:
    with broker("redis", tmp_path) as server:
        server.send([MESSAGES[payload](n) for n in (*range(4), 2, *range(4, 8))])
        platform, queue = reader(store, f"{server.url}format={payload}")
        platform = replace(platform, settings=platform.settings.model_copy(update={"golden_signals": True}))
        assert drain(platform, queue).inserted == 9
        pull(platform)
    assert values(store) == [0.0, 5.0]


@pytest.mark.parametrize("kind", KINDS)
def test_messages_that_another_consumer_has_stored_meanwhile_are_dropped(
    kind: str, store: Store, tmp_path: Path
) -> None:
    with broker(kind, tmp_path) as server:
        server.send([of_json(n) for n in range(5)])
        platform, queue = reader(store, f"{server.url}format=json")
        slow = _Reading(platform, queue, Silent())
        with queue.connect(slow.stored_position, joins_group=False) as consumer:
            fetched = consumer.fetch(0.5)
            assert fetched.messages
            drain(platform, queue)
            server.send([of_json(5)])
            assert slow.store(consumer, fetched)
            assert slow.report == IngestReport()
            while not slow.report.inserted:
                slow.store(consumer, consumer.fetch(0.5))
    assert slow.report == IngestReport(inserted=1, series=1)
    assert values(store) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


@contextmanager
def consuming(platform: Platform, queue: Queue, heard: Heard, stop: Event | None = None) -> Iterator[None]:
    """A consumer that runs until the block ends, or `stop` is set."""
    stop = stop or Event()
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(consume, platform, queue, stop, heard)
        try:
            yield
        finally:
            stop.set()
    assert running.result().inserted == heard.inserted
    assert running.result().duplicates == 0


def test_two_consumers_of_a_kafka_group_share_the_partitions_and_store_each_message_once(
    store: Store, tmp_path: Path
) -> None:
    one, other, sent = Heard(), Heard(), 0
    with broker("kafka", tmp_path) as server:
        assert isinstance(server, KafkaBroker)
        platform, queue = reader(store, f"{server.url}format=json")
        with consuming(platform, queue, one), consuming(platform, queue, other):
            deadline = time.monotonic() + REBALANCE_S
            while not (one.inserted and other.inserted):
                assert time.monotonic() < deadline, f"waits: {one.reasons} {other.reasons}"
                for partition in range(4):
                    server.send([of_json(sent + partition)], partition)
                sent += 4
                time.sleep(0.2)
            wait_until(lambda: len(values(store)) == sent)
            wait_until(lambda: server.committed("forewarn") == sent // 4)
    assert one.inserted + other.inserted == sent


@pytest.mark.parametrize("kind", ["redis", "nats"])
def test_a_second_consumer_of_a_queue_with_one_order_takes_over_when_the_first_one_ends(
    kind: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consume_module, "TURN_S", 0.1)
    stop, first, second = Event(), Heard(), Heard()
    with broker(kind, tmp_path) as server:
        server.send([of_json(0)])
        platform, queue = reader(store, f"{server.url}format=json")
        with consuming(platform, queue, first, stop):
            wait_until(lambda: values(store) == [0.0])
            (owner,) = _owners(platform, queue)
            with consuming(platform, queue, second):
                wait_until(lambda: bool(second.reasons))
                with pytest.raises(BusyError, match=r"holds the lock ingest/"):
                    drain(platform, queue)
                stop.set()
                wait_until(lambda: _owners(platform, queue) not in ([], [owner]))
                server.send([of_json(1)])
                wait_until(lambda: values(store) == [0.0, 1.0])
    assert second.reasons[0].startswith("it is read by another consumer")
    assert (first.inserted, second.inserted) == (1, 1)


def _owners(platform: Platform, queue: Queue) -> list[LockOwner]:
    return platform.store.locks.owners([ingest_lock(queue.address.name)])


@pytest.mark.parametrize("kind", ["redis", "nats"])
def test_a_restart_of_the_broker_is_waited_out(
    kind: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consume_module, "WAITS_S", (0.2,))
    with broker(kind, tmp_path) as server:
        assert isinstance(server, RedisBroker | NatsBroker)
        server.send([of_json(0)])
        platform, queue = reader(store, f"{server.url}format=json")
        heard = Heard()
        with consuming(platform, queue, heard):
            wait_until(lambda: values(store) == [0.0])
            server.stop()
            wait_until(lambda: bool(heard.reasons))
            server.start()
            server.send([of_json(1)])
            wait_until(lambda: values(store) == [0.0, 1.0])
    assert all(server.hosts in reason for reason in heard.reasons)
    assert heard.inserted == 2


def test_a_kafka_that_does_not_answer_is_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.sources.queues.kafka.ANSWER_S", 0.5)
    platform, queue = reader(store, "kafka://127.0.0.1:1/metrics?format=json")
    with pytest.raises(UnavailableError, match=r"kafka://127.0.0.1:1 does not answer"):
        drain(platform, queue)


@pytest.mark.parametrize(
    ("kind", "path", "text"),
    [
        ("kafka", "nosuch", "has no topic nosuch; create it"),
        ("redis", "0/nosuch", "has no stream nosuch; create it"),
        ("nats", "nosuch", "has no stream nosuch; create it"),
        ("kinesis", "nosuch", "has no stream nosuch; create it"),
        ("pubsub", "nosuch", "has no subscription nosuch; create it"),
    ],
)
def test_a_queue_that_does_not_exist_is_named_with_the_remedy(
    kind: str, path: str, text: str, store: Store, tmp_path: Path
) -> None:
    with broker(kind, tmp_path) as server:
        options = server.url.partition("?")[2]
        platform, queue = reader(store, f"{kind}://{_hosts(server)}/{path}?{options}format=json")
        with pytest.raises(UnavailableError, match=text):
            drain(platform, queue)


@pytest.mark.parametrize("login", ["", ":wrong@", "u:wrong@"])
@pytest.mark.parametrize("kind", ["redis", "nats"])
def test_a_wrong_login_is_named_without_its_password(
    kind: str, login: str, store: Store, tmp_path: Path
) -> None:
    servers: dict[str, Callable[[], RedisBroker | NatsBroker]] = {
        "redis": lambda: RedisBroker(tmp_path, ["--requirepass", "secret"]),
        "nats": lambda: NatsBroker(tmp_path, ["--user", "u", "--pass", "secret"]),
    }
    server = servers[kind]()
    try:
        path = "0/metrics" if kind == "redis" else "metrics"
        platform, queue = reader(store, f"{kind}://{login}{server.hosts}/{path}?format=json")
        with pytest.raises(ConfigurationError, match="refuses the login") as refused:
            drain(platform, queue)
    finally:
        server.stop()
    assert not {"wrong", "secret"} & set(str(refused.value).replace("-", " ").split())


def test_deleted_entries_of_a_redis_stream_and_a_new_stream_are_reported(
    store: Store, tmp_path: Path
) -> None:
    with broker("redis", tmp_path) as server:
        assert isinstance(server, RedisBroker)
        platform, queue = reader(store, f"{server.url}format=json")
        with redis.Redis(port=server.port) as client:
            for numbers in (range(2), range(2, 6)):
                server.send([of_json(n) for n in numbers])
                client.xtrim("metrics", maxlen=1, approximate=False)
                drain(platform, queue)
            client.delete("metrics")
            client.xadd("metrics", {"body": of_json(6)}, id="5-1")
        drain(platform, queue)
    assert values(store) == [1.0, 5.0, 6.0]
    reasons = [one.reason for one in store.dead_letters.list()]
    assert [reason.partition(": ")[2][:30] for reason in reasons] == [
        "the stream was created anew, a",
        "some of these entries may have",
    ]


@pytest.mark.parametrize("kind", ["kafka", "nats"])
def test_a_queue_that_was_created_anew_is_read_from_its_start(
    kind: str, store: Store, tmp_path: Path
) -> None:
    with broker(kind, tmp_path) as server:
        server.send([of_json(0)])
        platform, queue = reader(store, f"{server.url}format=json")
        partition = "0" if kind == "kafka" else ""
        stored = QueueCursor(position="1000 an older stream" if kind == "nats" else "1000").to_text()
        store.cursors.set(cursor_name(queue.address.name, partition), stored)
        assert drain(platform, queue) == IngestReport(inserted=1, rejected=1, series=1)
    assert "created anew" in store.dead_letters.list()[0].reason


def test_status_shows_position_lag_and_dead_letters_of_a_queue(store: Store, tmp_path: Path) -> None:
    with broker("redis", tmp_path) as server:
        platform, queue = reader(store, f"{server.url}format=json")
        (part,) = queues(platform)
        assert part.problem is not None
        assert "was read never" in part.problem
        with pytest.raises(UnavailableError, match="was read never"):
            check_queues(platform)
        server.send([of_json(0), GARBAGE])
        drain(platform, queue)
        (part,) = queues(platform)
        check_queues(platform)
    assert part.name == f"queue {queue.address.name}"
    assert part.state.startswith("position ")
    assert "; lag: 0; newest message " in part.state
    assert part.state.endswith("; dead letters: 1")


def _hosts(server: Broker) -> str:
    return server.url.split("/")[2]
