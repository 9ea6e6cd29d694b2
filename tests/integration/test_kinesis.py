"""Kinesis: what no other queue has. Shards are split, merged, trimmed and throttled; iterators expire."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fakes.platform import platform_of
from fakes.queue_messages import of_json
from fakes.remote_write import T0
from moto.core.exceptions import JsonRESTError
from moto.kinesis import models
from pydantic import SecretStr
from servers.kinesis import KinesisBroker

from core.clock import FixedClock
from core.errors import ConfigurationError, UnavailableError
from core.queue_cursors import QueueCursor, cursor_name
from core.settings import Settings
from pipelines.collect.consume import drain
from pipelines.collect.ingest import IngestReport
from pipelines.common.tenant_platform import Platform
from pipelines.sources import aws
from pipelines.sources.queues import kinesis
from pipelines.sources.queues.configured import configured_queues
from pipelines.sources.queues.queue_port import Queue
from pipelines.stores.session import Pool
from pipelines.stores.store import Store

NOW = T0 + timedelta(days=1)
SHARD = "shardId-000000000000"
_NUMBERS = count()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinesis, "PAUSE_S", 0.0)
    monkeypatch.setattr(kinesis, "THROTTLED_S", 0.1)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KinesisBroker]:
    started = KinesisBroker(tmp_path)
    yield started
    started.stop()


@pytest.fixture
def platform(pool: Pool) -> Platform:
    """A tenant that no other test has."""
    return platform_of(
        Store(pool, f"kinesis{next(_NUMBERS)}"), FixedClock(NOW), settings=Settings(_env_file=None)
    )


def queue_of(broker: KinesisBroker) -> Queue:
    (queue,) = configured_queues(Settings(_env_file=None, queues=(SecretStr(f"{broker.url}format=json"),)))
    return queue


def bodies_in_order(broker: KinesisBroker) -> list[bytes]:
    """What a consumer without stored positions reads."""
    found: list[bytes] = []
    with queue_of(broker).connect(lambda _: None, joins_group=True) as consumer:
        is_end = False
        while not is_end:
            fetched = consumer.fetch(0.0)
            is_end = fetched.is_end
            found += [one.body for one in fetched.messages]
    return found


def test_the_children_of_a_closed_shard_are_read_after_it(
    broker: KinesisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinesis, "MAX_RECORDS", 2)
    broker.send([b"0", b"1", b"2"])
    broker.split(0)
    broker.send([b"3"], shard=1)
    broker.send([b"4", b"5", b"6"], shard=2)
    broker.merge(1, 2)
    broker.send([b"7"], shard=3)
    found = bodies_in_order(broker)
    assert (found[:3], sorted(found[3:7]), found[7:]) == (
        [b"0", b"1", b"2"],
        [b"3", b"4", b"5", b"6"],
        [b"7"],
    )


def test_a_stream_that_is_resharded_while_it_is_read_loses_and_doubles_nothing(
    broker: KinesisBroker, platform: Platform
) -> None:
    queue = queue_of(broker)
    broker.send([of_json(0)])
    assert drain(platform, queue).inserted == 1
    broker.send([of_json(1)])
    broker.split(0)
    broker.send([of_json(2)], shard=1)
    broker.send([of_json(3)], shard=2)
    assert drain(platform, queue) == IngestReport(inserted=3, series=3)
    broker.split(2)
    broker.send([of_json(4)], shard=4)
    assert drain(platform, queue).inserted == 1
    assert drain(platform, queue) == IngestReport()


def test_records_that_kinesis_deleted_before_they_were_read_are_reported(
    broker: KinesisBroker, platform: Platform
) -> None:
    queue = queue_of(broker)
    broker.send([of_json(0)])
    drain(platform, queue)
    store_as_older_than_the_retention(platform, queue.address.name)
    assert drain(platform, queue) == IngestReport()
    broker.send([of_json(1), of_json(2)])
    for deleted in (1, 2):
        del broker.shard(0).records[deleted]
    assert drain(platform, queue) == IngestReport(inserted=1, rejected=1, series=1)
    (letter,) = platform.store.dead_letters.list()
    assert letter.reason.startswith(f"{SHARD}, sequence numbers after 1 up to 3: some of these records may")
    assert drain(platform, queue) == IngestReport()


def store_as_older_than_the_retention(platform: Platform, queue: str) -> None:
    name = cursor_name(queue, SHARD)
    sequence, at, created = str(QueueCursor.from_text(platform.store.cursors.get(name)).position).split()
    older = datetime.fromisoformat(at) - timedelta(hours=25)
    position = f"{sequence} {older.isoformat()} {created}"
    platform.store.cursors.set(name, QueueCursor(position=position).to_text())


def test_a_stream_that_was_created_anew_is_read_from_its_start(
    broker: KinesisBroker, platform: Platform
) -> None:
    queue = queue_of(broker)
    broker.send([of_json(0), of_json(1)])
    drain(platform, queue)
    broker.client.delete_stream(StreamName="metrics")
    broker.create()
    broker.send([of_json(2)])
    assert drain(platform, queue) == IngestReport(inserted=1, rejected=1, series=1)
    assert "created anew" in platform.store.dead_letters.list()[0].reason
    assert drain(platform, queue) == IngestReport()


def refuse(monkeypatch: pytest.MonkeyPatch, call: str, code: str, times: int = 1) -> None:
    """Let the server answer a call with an error, that often."""
    real, left = getattr(models.KinesisBackend, call), [code] * times

    def answer(*arguments: Any, **named: Any) -> Any:
        if left:
            raise JsonRESTError(left.pop(), "the text of AWS")
        return real(*arguments, **named)

    monkeypatch.setattr(models.KinesisBackend, call, answer)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("get_records", "ProvisionedThroughputExceededException"),
        ("get_records", "ExpiredIteratorException"),
        ("get_shard_iterator", "InvalidArgumentException"),
    ],
)
def test_a_refused_call_is_made_again_and_loses_nothing(
    call: str, code: str, broker: KinesisBroker, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws, "_ATTEMPTS", 0)
    queue = queue_of(broker)
    broker.send([of_json(0)])
    drain(platform, queue)
    refuse(monkeypatch, call, code)
    broker.send([of_json(1)])
    assert drain(platform, queue) == IngestReport(inserted=1, series=1)


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (
            "AccessDeniedException",
            ConfigurationError,
            "lacks the permission kinesis:ListShards: the text of AWS",
        ),
        ("ResourceInUseException", UnavailableError, "the stream metrics is not ready"),
        ("LimitExceededException", UnavailableError, "Kinesis throttles the calls"),
    ],
)
def test_an_error_of_kinesis_is_a_sentence_with_a_remedy(
    code: str,
    kind: type[Exception],
    text: str,
    broker: KinesisBroker,
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aws, "_ATTEMPTS", 0)
    refuse(monkeypatch, "list_shards", code)
    with pytest.raises(kind, match=text):
        drain(platform, queue_of(broker))


def test_a_record_of_the_producer_library_is_a_dead_letter_with_the_remedy(
    broker: KinesisBroker, platform: Platform
) -> None:
    broker.send([b"\xf3\x89\x9a\xc2 several messages", of_json(0)])
    assert drain(platform, queue_of(broker)) == IngestReport(inserted=1, rejected=1, series=1)
    assert "set AggregationEnabled=false" in platform.store.dead_letters.list()[0].reason
