"""Brokers of the tests' own: real Redis and NATS with JetStream, mock brokers of Kafka's client library, and moto."""

import asyncio
import shutil
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import confluent_kafka
import nats
import pytest
import redis
from nats.js.api import StreamConfig
from servers.kinesis import KinesisBroker
from servers.pubsub import PubSubBroker

from pipelines.processes.server_process import ServerProcess, free_port, start_server


class Broker(Protocol):
    """A broker with one queue, to which a test sends messages.

    Attributes:
        url: of the queue; options can be added to it.
    """

    @property
    def url(self) -> str: ...

    def send(self, bodies: Sequence[bytes]) -> None:
        """Append messages, in this order."""
        ...


@contextmanager
def broker(kind: str, folder: Path) -> Iterator[Broker]:
    """A running broker with its queue."""
    kinds = {
        "kafka": KafkaBroker,
        "redis": RedisBroker,
        "nats": NatsBroker,
        "kinesis": KinesisBroker,
        "pubsub": PubSubBroker,
    }
    started = kinds[kind](folder)
    try:
        yield started
    finally:
        started.stop()


class KafkaBroker:
    """One mock broker, with a topic of four partitions; the first one gets the messages."""

    def __init__(self, _folder: Path) -> None:
        self._producer = confluent_kafka.Producer(
            {"bootstrap.servers": "unused", "test.mock.num.brokers": 1, "linger.ms": 0, "log_level": 2}
        )
        (address,) = self._producer.list_topics(timeout=5).brokers.values()
        self.hosts = f"{address.host}:{address.port}"
        self.url = f"kafka://{self.hosts}/metrics?"
        self._producer.list_topics("metrics", timeout=5)

    def send(self, bodies: Sequence[bytes], partition: int = 0) -> None:
        for body in bodies:
            self._producer.produce("metrics", body, partition=partition)
        assert self._producer.flush(10) == 0

    def committed(self, group: str) -> int:
        """The offset of the first partition that the group has committed."""
        client = confluent_kafka.Consumer({"bootstrap.servers": self.hosts, "group.id": group})
        (found,) = client.committed([confluent_kafka.TopicPartition("metrics", 0)], timeout=5)
        client.close()
        return int(found.offset)

    def stop(self) -> None:
        del self._producer


@dataclass
class _Server(ABC):
    """A server that a test can stop and start again on the same port. The test skips where it is not installed.

    Attributes:
        options: further options of its command line.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    options: Sequence[str] = ()
    process: ServerProcess | None = None

    def start(self) -> None:
        program = self.command[0]
        if shutil.which(program) is None:
            pytest.skip(f"needs Debian's package {program}")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = start_server("broker", self.command, url="", log=self.folder / "log")
        deadline = time.monotonic() + 10
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", self.port)) != 0:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()

    @property
    @abstractmethod
    def command(self) -> list[str]: ...


class RedisBroker(_Server):
    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        super().__init__(folder / "redis", options=options)
        self.start()
        self.hosts = f"127.0.0.1:{self.port}"
        self.url = f"redis://{self.hosts}/0/metrics?"

    @property
    def command(self) -> list[str]:
        return ["redis-server", "--port", str(self.port), "--dir", str(self.folder), "--appendonly", "yes",
                "--appendfsync", "no", *self.options]  # fmt: skip

    def send(self, bodies: Sequence[bytes]) -> None:
        with redis.Redis(port=self.port) as client:
            for body in bodies:
                client.xadd("metrics", {"body": body})


class NatsBroker(_Server):
    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        super().__init__(folder / "nats", options=options)
        self.start()
        self.hosts = f"127.0.0.1:{self.port}"
        self.url = f"nats://{self.hosts}/metrics/fleet.one?"

    @property
    def command(self) -> list[str]:
        return ["nats-server", "--addr", "127.0.0.1", "--port", str(self.port), "--jetstream",
                "--store_dir", str(self.folder), *self.options]  # fmt: skip

    def send(self, bodies: Sequence[bytes]) -> None:
        asyncio.run(_publish(f"nats://127.0.0.1:{self.port}", bodies))


async def _publish(url: str, bodies: Sequence[bytes]) -> None:
    client = await nats.connect(url)
    stream = client.jetstream()
    await stream.add_stream(StreamConfig(name="metrics", subjects=["fleet.*"]))
    for body in bodies:
        await stream.publish("fleet.one", body)
    await client.close()
