"""Google Pub/Sub: messages that come again change nothing, and errors of login are sentences."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import httpx
import pytest
from fakes.platform import platform_of
from fakes.queue_messages import GARBAGE, of_json
from fakes.remote_write import T0
from pydantic import SecretStr
from servers.pubsub import PubSubBroker, PubSubEmulator

from core.clock import FixedClock
from core.errors import ConfigurationError, UnavailableError
from core.settings import Settings
from pipelines.collect.consume import Silent, _Reading, drain
from pipelines.collect.ingest import IngestReport
from pipelines.common.tenant_platform import Platform
from pipelines.sources.queues import pubsub
from pipelines.sources.queues.configured import configured_queues
from pipelines.sources.queues.pubsub import PubSubConsumer
from pipelines.sources.queues.queue_port import Queue
from pipelines.stores.session import Pool
from pipelines.stores.store import Store

NOW = T0 + timedelta(days=1)
_NUMBERS = count()


@pytest.fixture(params=[PubSubBroker, PubSubEmulator])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PubSubBroker]:
    started = request.param(tmp_path)
    yield started
    started.stop()


@pytest.fixture
def platform(pool: Pool) -> Platform:
    """A tenant that no other test has."""
    store = Store(pool, f"pubsub{next(_NUMBERS)}")
    return platform_of(store, FixedClock(NOW), settings=Settings(_env_file=None))


def queue_of(url: str) -> Queue:
    (queue,) = configured_queues(Settings(_env_file=None, queues=(SecretStr(url),)))
    return queue


def test_messages_that_were_stored_and_not_acknowledged_are_stored_once(
    broker: PubSubBroker, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.send([of_json(0), GARBAGE, of_json(1)])
    queue = queue_of(f"{broker.url}format=json")
    killed = _Reading(platform, queue, Silent())
    with (
        monkeypatch.context() as without,
        queue.connect(killed.stored_position, joins_group=True) as consumer,
    ):
        without.setattr(pubsub, "_LEASE_S", 0)  # Pub/Sub sends each message again at once
        without.setattr(PubSubConsumer, "_acknowledge", lambda _: None)
        without.setattr(PubSubConsumer, "close", lambda _: None)
        while killed.report.inserted < 2:
            killed.store(consumer, consumer.fetch(0.1))
    letters = platform.store.dead_letters.list()
    assert len(letters) == 1
    assert drain(platform, queue) == IngestReport()
    assert platform.store.dead_letters.list() == letters
    broker.send([of_json(2)])
    assert drain(platform, queue) == IngestReport(inserted=1, series=1)
    left = httpx.post(f"{broker.subscription}:pull", json={"maxMessages": 9, "returnImmediately": True})
    assert left.json() == {}


def test_messages_that_are_not_stored_come_again(broker: PubSubBroker, platform: Platform) -> None:
    broker.send([of_json(0), of_json(1)])
    queue = queue_of(f"{broker.url}format=json")
    with queue.connect(lambda _: None, joins_group=True) as consumer:
        while not consumer.fetch(0.1).messages:
            pass
    assert drain(platform, queue).inserted == 2


def test_a_machine_without_a_login_at_google_gets_one_sentence(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    with pytest.raises(ConfigurationError, match=r"pubsub://p1 needs credentials of Google: .*missing.json"):
        drain(platform, queue_of("pubsub://p1/s?format=json"))


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (403, ConfigurationError, "lacks the role Pub/Sub Subscriber: .*the text of Google"),
        (400, ConfigurationError, "refuses the call pull: .*the text of Google"),
        (501, UnavailableError, "does not answer: HTTP 501 .*the text of Google"),
    ],
)
def test_an_error_of_pubsub_is_a_sentence_with_a_remedy(
    status: int,
    kind: type[Exception],
    text: str,
    platform: Platform,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = PubSubBroker(tmp_path)
    body = {"error": {"code": status, "message": "the text of Google"}}
    monkeypatch.setattr("servers.pubsub._Handler.do_POST", lambda handler: handler._answer(status, body))
    try:
        with pytest.raises(kind, match=text):
            drain(platform, queue_of(f"{server.url}format=json"))
    finally:
        server.stop()
