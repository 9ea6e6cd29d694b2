"""Reads a subscription of Google Pub/Sub, over its REST API. The login needs the extra `gcp`.

Pub/Sub has no positions. It sends each message again until it is acknowledged, and messages are acknowledged after
they are stored. So the position in our database has the ids of all stored messages of the last fetch: these are the
ones that may be stored and not acknowledged when a process is killed.

References:
    https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions
    https://cloud.google.com/pubsub/docs/pull
"""

import base64
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import httpx

from core.errors import ConfigurationError, UnavailableError
from pipelines.common.http_retry import HttpRetry, RetryPolicy, body_text
from pipelines.sources.queues.missing_library import needs_library
from pipelines.sources.queues.queue_address import QueueAddress
from pipelines.sources.queues.queue_port import MAX_MESSAGE_BYTES, Fetched, Message, StoredPosition

#: Messages of one fetch, which are in memory at once, and whose ids are in one position.
MAX_MESSAGES = 100
#: Pub/Sub sends a message again that is not acknowledged within this time; storing takes less.
_LEASE_S = 60
#: The ids of so many messages are remembered, because Pub/Sub sometimes repeats acknowledged ones, too.
_REMEMBERED = 10_000
_TIMEOUT_S = 30.0
_API = "https://pubsub.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/pubsub"
_POLICY = RetryPolicy(waits_s=(0.5,), patience_s=2.0, repeatable=True)

#: Adds the login to the headers of a request.
Authorize = Callable[[str, dict[str, str]], None]


class PubSubQueue:
    """A subscription (`pipelines.sources.queues.queue_port.Queue`)."""

    shares = False

    def __init__(self, address: QueueAddress) -> None:
        self.address = address

    @contextmanager
    def connect(self, stored: StoredPosition, *, joins_group: bool) -> Iterator["PubSubConsumer"]:
        """Connect; see `Queue.connect`."""
        # A token never leaves this machine without encryption; emulators need none.
        is_open = self.address.endpoint.startswith("http://")
        authorize = _no_login if is_open else _login(self.address.place)
        with httpx.Client(timeout=_TIMEOUT_S) as client:
            consumer = PubSubConsumer(_Subscription(client, self.address, authorize), stored)
            consumer.seek("")
            try:
                yield consumer
            finally:
                consumer.close()


class PubSubConsumer:
    """The only consumer of a subscription (`QueueConsumer`)."""

    def __init__(self, subscription: "_Subscription", stored: StoredPosition) -> None:
        self._subscription = subscription
        self._stored = stored
        #: The ids of stored messages, the newest last.
        self._recent: deque[str] = deque(maxlen=_REMEMBERED)
        #: Id -> what acknowledges the message, of those that were fetched and are not stored.
        self._leases: dict[str, str] = {}
        #: What acknowledges messages that are stored.
        self._done: list[str] = []
        self._was_empty = False

    def fetch(self, wait_s: float) -> Fetched:
        """The next messages; see `QueueConsumer.fetch`."""
        self._acknowledge()
        received = self._subscription.pull()
        if not received:
            # Pub/Sub may return nothing although messages wait; twice in a row is taken for the end.
            time.sleep(wait_s)
            is_end, self._was_empty = self._was_empty, True
            return Fetched([], is_end, lags={})
        self._was_empty = False
        self._subscription.lease([one["ackId"] for one in received], _LEASE_S)
        received.sort(key=lambda one: (_time(one["message"]), one["message"]["messageId"]))
        known, ids, messages = set(self._recent), [], []
        for one in received:
            name = one["message"]["messageId"]
            ids.append(name)
            if name in known:
                self._done.append(one["ackId"])
            else:
                known.add(name)
                self._leases[name] = one["ackId"]
                messages.append(_message(one["message"], ids))
        return Fetched(messages, is_end=False, lags={})

    def seek(self, partition: str) -> None:
        """Give back what was fetched and is not stored, and learn what is stored."""
        self._release()
        self._recent.extend((self._stored(partition) or "").split())

    def acknowledge(self, partition: str, position: str) -> None:
        """Acknowledge the messages up to this one with the next fetch. Pub/Sub sends them again if that fails."""
        for name in reversed(position.split()):
            lease = self._leases.pop(name, None)
            if lease is not None:
                self._done.append(lease)
                self._recent.append(name)

    def close(self) -> None:
        """Acknowledge what is stored, and give back the rest, so that others get it at once."""
        with suppress(UnavailableError, ConfigurationError):
            self._acknowledge()
            self._release()

    def _acknowledge(self) -> None:
        if self._done:
            self._subscription.acknowledge(self._done)
            self._done = []

    def _release(self) -> None:
        if self._leases:
            self._subscription.lease(list(self._leases.values()), 0)
            self._leases = {}


class _Subscription:
    """The calls to the API."""

    def __init__(self, client: httpx.Client, address: QueueAddress, authorize: Authorize) -> None:
        self._client = client
        self._authorize = authorize
        self._place, self._name = address.place, address.path[0]
        self._url = (
            f"{(address.endpoint or _API).rstrip('/')}/v1/projects/{address.hosts}/subscriptions/{self._name}"
        )
        self._retry = HttpRetry("Pub/Sub", _POLICY)

    def pull(self) -> list[dict[str, Any]]:
        """The messages that are there now. Pub/Sub would wait for messages for longer than a person for Ctrl-C."""
        answer = self._call("pull", {"maxMessages": MAX_MESSAGES, "returnImmediately": True})
        return list(answer.get("receivedMessages", ()))

    def lease(self, ack_ids: list[str], seconds: int) -> None:
        """Let Pub/Sub send messages again after so long; 0: at once."""
        self._call("modifyAckDeadline", {"ackIds": ack_ids, "ackDeadlineSeconds": seconds})

    def acknowledge(self, ack_ids: list[str]) -> None:
        self._call("acknowledge", {"ackIds": ack_ids})

    def _call(self, method: str, body: Mapping[str, Any]) -> dict[str, Any]:
        url, headers = f"{self._url}:{method}", dict[str, str]()
        self._authorize(url, headers)
        try:
            response = self._retry.send(lambda: self._client.post(url, json=body, headers=headers))
        except httpx.TransportError as error:
            raise UnavailableError(f"{self._place} does not answer ({type(error).__name__})") from error
        status, reason = response.status_code, body_text(response)
        if status == httpx.codes.NOT_FOUND:
            raise UnavailableError(
                f"{self._place} has no subscription {self._name}; create it, or correct FOREWARN_QUEUES"
            )
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise ConfigurationError(
                f"{self._place} refuses the login or lacks the role Pub/Sub Subscriber: {reason}"
            )
        if status == httpx.codes.BAD_REQUEST:
            raise ConfigurationError(f"{self._place} refuses the call {method}: {reason}")
        if not response.is_success:
            raise UnavailableError(f"{self._place} does not answer: HTTP {status} {reason}")
        answer: dict[str, Any] = response.json()
        return answer


def _message(message: Mapping[str, Any], ids: list[str]) -> Message:
    """A message.

    Args:
        ids: of the messages of this fetch up to this one.
    """
    body = base64.b64decode(message.get("data", ""))
    return Message(
        partition="",
        position=" ".join(reversed(ids)),
        place=f"message {message['messageId']}",
        body=body[: MAX_MESSAGE_BYTES + 1],
        at=_time(message),
    )


def _time(message: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(message["publishTime"])


def _no_login(_url: str, _headers: dict[str, str]) -> None:
    """Emulators take requests without a login."""


def _login(place: str) -> Authorize:
    """The login that Google's libraries find: a key file, the role of the machine, or that of `gcloud`.

    Raises:
        ConfigurationError: the extra is not installed, or there is no login.
    """
    with needs_library("google-auth[requests]", "Pub/Sub"):
        import google.auth
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.auth.transport.requests import Request
    credentials: Any
    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    except GoogleAuthError as error:
        raise ConfigurationError(f"{place} needs credentials of Google: {error}") from error
    transport = Request()

    def authorize(url: str, headers: dict[str, str]) -> None:
        try:
            credentials.before_request(transport, "POST", url, headers)
        except TransportError as error:
            raise UnavailableError(f"the login of Google does not answer: {error}") from error
        except GoogleAuthError as error:
            raise ConfigurationError(f"Google refuses the login: {error}") from error

    return authorize
