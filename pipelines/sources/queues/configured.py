"""The queues that the settings name."""

from collections.abc import Callable

from core.settings import Settings
from pipelines.sources.queues.kafka import KafkaQueue
from pipelines.sources.queues.kinesis import KinesisQueue
from pipelines.sources.queues.nats_jetstream import JetStreamQueue
from pipelines.sources.queues.pubsub import PubSubQueue
from pipelines.sources.queues.queue_address import QueueAddress, parse_queue
from pipelines.sources.queues.queue_port import Queue
from pipelines.sources.queues.redis_streams import RedisQueue

#: Scheme of the address -> queue. To add a kind of queue, write its file and add one line here.
QUEUES: dict[str, Callable[[QueueAddress], Queue]] = {
    "kafka": KafkaQueue,
    "redis": RedisQueue,
    "nats": JetStreamQueue,
    "kinesis": KinesisQueue,
    "pubsub": PubSubQueue,
}


def configured_queues(settings: Settings) -> list[Queue]:
    """The queues that the settings name.

    Raises:
        ConfigurationError: a URL names no queue.
    """
    addresses = [parse_queue(url) for url in settings.queues]
    return [QUEUES[address.scheme](address) for address in {one.name: one for one in addresses}.values()]
