"""Addresses of queues: what they name, which ones are refused, and that no text shows a password."""

import builtins
from typing import Any

import confluent_kafka
import pytest
from pydantic import SecretStr

from core.errors import ConfigurationError, UnavailableError
from core.settings import Settings, read_settings
from pipelines.sources.queues.configured import configured_queues
from pipelines.sources.queues.kafka import KafkaConsumer, KafkaQueue
from pipelines.sources.queues.nats_jetstream import JetStreamQueue
from pipelines.sources.queues.queue_address import PayloadFormat, is_queue, parse_queue
from pipelines.sources.queues.queue_port import Queue


def test_an_address_has_all_that_its_url_tells() -> None:
    url = "kafka://us%40er:hunt%2Fer2@a:9092,b:9093/metrics?format=otlp&group=g&tls=true&mechanism=scram-sha-256"
    address = parse_queue(SecretStr(url))
    assert (address.hosts, address.path, address.group) == ("a:9092,b:9093", ("metrics",), "g")
    assert (address.user, address.secret, address.tls) == ("us@er", "hunt/er2", True)
    assert (address.payload, address.mechanism) == (PayloadFormat.OTLP, "SCRAM-SHA-256")
    assert address.name == "kafka://a:9092,b:9093/metrics?group=g"
    assert is_queue(address.name)
    assert "hunt" not in f"{address!r} {address.name}"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("metrics", "there is no kind of queue ''"),
        ("amqp://host/queue?format=json", "there is no kind of queue 'amqp'"),
        ("kafka://host/topic", "add ?format= with one of otlp, remote_write, json"),
        ("kafka://host/topic?format=avro", "add ?format= with one of otlp, remote_write, json"),
        ("kafka://host/a/b?format=json", "give an address such as kafka://broker:9092/topic"),
        ("kafka:///topic?format=json", "give an address such as kafka://broker:9092/topic"),
        ("redis://host/stream?format=json", "give an address such as redis://host:6379/0/stream"),
        ("redis://host/first/stream?format=json", "the number of the database"),
        ("nats://host?format=json", "give an address such as nats://host:4222/stream"),
        ("nats://host/a?format=json&speed=1", "there is no option speed"),
        ("nats://host/a?format=json&tls=yes", "tls is true or false"),
        ("nats://host/a?format=json&group=a.b", "the group must be a name"),
        ("redis://host/0/a%20b?format=json", "have no blanks"),
        (f"redis://host/0/{'a' * 900}?format=json", "the address is too long"),
        ("kinesis:///a?format=json", "give an address such as kinesis://eu-west-1/stream"),
        ("kinesis://host/a?format=json", "the address of a cloud has no login"),
        ("kinesis://region/a?format=json&endpoint=host", "the endpoint begins with http:// or https://"),
        ("kafka://host/topic?format", "the URL cannot be read"),
        ("kafka://[host/topic?format=json", "the URL cannot be read"),
    ],
)
def test_an_invalid_address_is_named_without_its_password(url: str, text: str) -> None:
    url = url.replace("://host", "://u:hunter2@host")
    with pytest.raises(ConfigurationError) as refused:
        parse_queue(SecretStr(url))
    assert str(refused.value).startswith("FOREWARN_QUEUES: ")
    assert text in str(refused.value)
    assert "hunter2" not in str(refused.value)


ONE = "redis://:hunter2@host/0/a?format=json"


@pytest.mark.parametrize(
    ("given", "count"), [("", 0), (ONE, 1), (f'["{ONE}"]', 1), (f'["{ONE}", "nats://h/b?format=otlp"]', 2)]
)
def test_the_setting_takes_one_url_or_a_list(given: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_QUEUES", given)
    settings = read_settings()
    assert len(configured_queues(settings)) == count
    assert "hunter2" not in f"{settings!r} {settings.model_dump_json()}"


def test_a_list_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_QUEUES", "[redis://:hunter2@host/0/a]")
    with pytest.raises(
        ConfigurationError, match=r"FOREWARN_QUEUES: give one URL, or a JSON list such as"
    ) as error:
        read_settings()
    assert "hunter2" not in str(error.value)


def test_a_queue_that_is_named_twice_is_read_once() -> None:
    settings = Settings(_env_file=None, queues=(SecretStr(ONE), SecretStr(ONE)))
    assert len(configured_queues(settings)) == 1


@pytest.mark.parametrize(("queue", "library"), [(KafkaQueue, "confluent-kafka"), (JetStreamQueue, "nats-py")])
def test_a_missing_library_is_named_with_its_command(
    queue: Any, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_libraries(name: str, *arguments: Any) -> Any:
        if name.partition(".")[0] in {"confluent_kafka", "nats"}:
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_libraries)
    made: Queue = queue(parse_queue(SecretStr("kafka://host/topic?format=json")))
    with (
        pytest.raises(ConfigurationError, match=f"run `pip install {library}`"),
        made.connect(lambda _: None, joins_group=False),
    ):
        pass


CODES = confluent_kafka.KafkaError


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (CODES._AUTHENTICATION, ConfigurationError, "refuses the login"),
        (CODES.SASL_AUTHENTICATION_FAILED, ConfigurationError, "refuses the login"),
        (CODES._SSL, ConfigurationError, "check tls and ca"),
        (
            CODES.TOPIC_AUTHORIZATION_FAILED,
            ConfigurationError,
            "may not read the topic metrics in the group g",
        ),
        (
            CODES.GROUP_AUTHORIZATION_FAILED,
            ConfigurationError,
            "may not read the topic metrics in the group g",
        ),
        (CODES.UNKNOWN_TOPIC_OR_PART, UnavailableError, "has no topic metrics; create it"),
        (CODES._ALL_BROKERS_DOWN, UnavailableError, "does not answer"),
    ],
)
def test_an_error_of_kafka_is_a_sentence_with_a_remedy(code: int, kind: type[Exception], text: str) -> None:
    address = parse_queue(SecretStr("kafka://u:hunter2@host:1/metrics?format=json&group=g"))
    settings = {"bootstrap.servers": "host:1", "group.id": "g", "log_level": 0}
    consumer = KafkaConsumer(confluent_kafka, address, settings, lambda _: None)
    error = consumer._error(confluent_kafka.KafkaError(code))
    consumer.close()
    assert isinstance(error, kind)
    assert text in str(error)
    assert "hunter2" not in str(error)
