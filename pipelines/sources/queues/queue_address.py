"""The address of a queue as people write it in `FOREWARN_QUEUES`.

    kafka://broker:9092[,broker2:9092]/topic
    redis://host:6379/0/stream
    nats://host:4222/stream[/subject]
    kinesis://region/stream
    pubsub://project/subscription

Options follow after `?`: `format` (otlp, remote_write or json), `group`, and `tls=true`, `ca=FILE`, `mechanism`
(Kafka), `field` (Redis) and `endpoint` (Kinesis and Pub/Sub). A password stands before the host, as in
`redis://:secret@host/0/stream`.
"""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from core.errors import ConfigurationError
from core.storable import NAME_BYTES

DEFAULT_GROUP = "forewarn"
_OPTIONS = ("format", "group", "tls", "ca", "mechanism", "field", "endpoint")
_FORMS = {
    "kafka": "kafka://broker:9092/topic?format=otlp",
    "redis": "redis://host:6379/0/stream?format=otlp",
    "nats": "nats://host:4222/stream/subject?format=otlp",
    "kinesis": "kinesis://eu-west-1/stream?format=otlp",
    "pubsub": "pubsub://project/subscription?format=otlp",
}


class PayloadFormat(StrEnum):
    """What the messages of a queue contain."""

    OTLP = "otlp"
    REMOTE_WRITE = "remote_write"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueAddress:
    """One queue: where it is, what its messages contain, and how to log in.

    Attributes:
        scheme: kafka, redis, nats, kinesis or pubsub.
        hosts: `host:port`, several with commas between; a region; a project. The login is not in it.
        path: topic; database and stream; stream and, if given, subject; stream; subscription.
        mechanism: SASL mechanism of Kafka.
        ca: file of the certificate authorities that sign the server's certificate; "": those of the system.
        field: of an entry of a Redis stream that has the content; "": its only field.
        endpoint: address of the cloud's API; "": its usual one.
    """

    scheme: str
    hosts: str
    path: tuple[str, ...]
    payload: PayloadFormat
    group: str = DEFAULT_GROUP
    user: str | None = None
    password: SecretStr | None = None
    tls: bool = False
    ca: str = ""
    mechanism: str = "PLAIN"
    field: str = ""
    endpoint: str = ""

    @property
    def name(self) -> str:
        """Names the queue and its group in cursors, dead letters and texts; it contains no secret."""
        return f"{self.place}/{'/'.join(self.path)}?group={self.group}"

    @property
    def place(self) -> str:
        """Scheme and `host:port`, region or project, for texts."""
        return f"{self.scheme}://{self.hosts}"

    @property
    def secret(self) -> str | None:
        """The password in plain text, for the library that logs in."""
        return None if self.password is None else self.password.get_secret_value()


def is_queue(source: str) -> bool:
    """Whether the name of a source is that of a queue."""
    return source.startswith(tuple(f"{scheme}://" for scheme in _FORMS))


def parse_queue(url: SecretStr) -> QueueAddress:
    """The queue that a URL names.

    Raises:
        ConfigurationError: the URL names no queue. The text contains no password.
    """
    try:
        parts = urlsplit(url.get_secret_value())
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ConfigurationError(
            f"FOREWARN_QUEUES: the URL cannot be read; give one such as {_FORMS['kafka']}"
        ) from None
    scheme = {"rediss": "redis"}.get(parts.scheme, parts.scheme)
    if scheme not in _FORMS:
        raise ConfigurationError(
            f"FOREWARN_QUEUES: there is no kind of queue {parts.scheme!r};"
            f" give one such as {', '.join(_FORMS.values())}"
        )
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    path = tuple(unquote(part) for part in parts.path.split("/") if part)
    address = QueueAddress(
        scheme=scheme,
        hosts=hosts,
        path=path,
        payload=_payload(options, f"{scheme}://{hosts}{parts.path}"),
        group=options.get("group", DEFAULT_GROUP),
        user=unquote(user) or None,
        password=SecretStr(unquote(password)) if password else None,
        tls=parts.scheme == "rediss" or options.get("tls", "false").lower() in {"true", "1"},
        ca=options.get("ca", ""),
        mechanism=options.get("mechanism", "PLAIN").upper(),
        field=options.get("field", ""),
        endpoint=options.get("endpoint", ""),
    )
    _check(address, options)
    return address


def _payload(options: dict[str, str], place: str) -> PayloadFormat:
    try:
        return PayloadFormat(options.get("format", ""))
    except ValueError:
        formats = ", ".join(PayloadFormat)
        raise ConfigurationError(
            f"FOREWARN_QUEUES: {place} does not tell what its messages contain; add ?format= with one of {formats}"
        ) from None


def _check(address: QueueAddress, options: dict[str, str]) -> None:
    lengths = {"kafka": (1,), "redis": (2,), "nats": (1, 2), "kinesis": (1,), "pubsub": (1,)}[address.scheme]
    form = _FORMS[address.scheme]
    problem = None
    if not address.hosts or len(address.path) not in lengths:
        problem = f"give an address such as {form}"
    elif address.scheme in {"kinesis", "pubsub"} and (address.user or address.password):
        problem = "the address of a cloud has no login; the cloud's own library finds it"
    elif address.endpoint and not address.endpoint.startswith(("http://", "https://")):
        problem = "the endpoint begins with http:// or https://"
    elif unknown := [name for name in options if name not in _OPTIONS]:
        problem = f"there is no option {', '.join(unknown)}; the options are {', '.join(_OPTIONS)}"
    elif options.get("tls", "false").lower() not in {"true", "false", "1", "0"}:
        problem = "tls is true or false"
    elif not address.group or any(sign.isspace() or sign in ".*>/" for sign in address.group):
        problem = "the group must be a name without blanks, dots, slashes and wildcards"
    elif any(sign.isspace() for part in address.path for sign in part):
        problem = "topics, streams and subjects have no blanks"
    elif address.scheme == "redis" and not address.path[0].isdecimal():
        problem = f"the first part of the path is the number of the database; give an address such as {form}"
    elif len(address.name.encode()) > NAME_BYTES - 20:  # the number of a partition follows
        problem = "the address is too long"
    if problem:
        raise ConfigurationError(f"FOREWARN_QUEUES: {address.name}: {problem}")
