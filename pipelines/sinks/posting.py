"""One HTTP POST to a receiver. No secret of it appears in an error or in a log."""

import logging
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

import httpx

from core.clock import Clock
from core.errors import UnavailableError
from pipelines.common.http_deadline import deadline
from pipelines.common.http_retry import HttpRetry, body_text

#: For connecting, and for each wait for data.
TIMEOUT_S = 10.0
#: For the whole post: a receiver that sends a byte now and then must not hold up the other receivers.
TOTAL_S = 20.0
#: So much of a response is read; errors show less.
_MAX_BODY = 65_536
#: A path so long may be a secret, as Slack's is; a short one such as `hook` is none.
_SECRET_LENGTH = 16
#: With these a receiver refuses what the request carries. With any other 4xx, such as 401 or 404, it refuses all
#: requests, so that the settings or the receiver are wrong and every message waits.
_REJECTED = frozenset({400, 406, 409, 413, 415, 422})


class RejectedError(UnavailableError):
    """The receiver works, but refuses what was sent; the text has the body of its response."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """An address to post to.

    Attributes:
        name: of the receiver, for errors.
        url: may contain a secret (as Slack's does), so no repr shows it.
        clock: the present, for the dates in a `Retry-After`; null: the machine's clock.
        secrets: texts that errors do not show, even if a response repeats them.
    """

    name: str
    url: str
    clock: Clock | None = None
    secrets: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        return f"Receiver(name={self.name!r})"

    def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send the body and wait for a 2xx. Nothing is repeated: the outbox decides when to try again.

        Raises:
            RejectedError: the receiver refuses what was sent.
            RetryLaterError: the receiver is busy and asks for no request before a time.
            UnavailableError: the receiver does not answer, or answers with another status.
        """
        path = urlsplit(self.url).path.strip("/")
        secrets = (self.url, path if len(path) >= _SECRET_LENGTH else "", *self.secrets)
        # A new one for each post: the time that a receiver asks for is stored, not kept in this process.
        retry = HttpRetry(self.name, secrets=secrets, clock=self.clock)
        try:
            with _unlogged(), httpx.Client(timeout=TIMEOUT_S, verify=_trusted()) as client:
                response = retry.send(lambda: _post(client, self.url, body, headers))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # httpx's own message may contain the URL, and the chain of causes would show it
            raise UnavailableError(f"{self.name} does not answer ({type(error).__name__})") from None
        if response.is_success:
            return
        shown = body_text(response, secrets)
        reason = f"HTTP {response.status_code}" + (f": {shown}" if shown else "")
        if response.status_code in _REJECTED:
            raise RejectedError(f"{self.name} refused what was sent with {reason}")
        raise UnavailableError(f"{self.name} answered {reason}")


def _post(client: httpx.Client, url: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
    """Post, and read the beginning of the response, in `TOTAL_S` at most."""
    with deadline(TOTAL_S) as trace:
        extensions = {"trace": trace}
        with client.stream(
            "POST", url, content=body, headers=dict(headers), extensions=extensions
        ) as response:
            read = b""
            for chunk in response.iter_bytes():
                read += chunk
                if len(read) >= _MAX_BODY:
                    break
    kept = {name: value for name, value in response.headers.items() if name not in _OF_THE_TRANSFER}
    return httpx.Response(response.status_code, headers=kept, content=read[:_MAX_BODY])


@lru_cache(maxsize=1)
def _trusted() -> ssl.SSLContext:
    """The certificates to trust. Reading them takes longer than a post."""
    return httpx.create_ssl_context()


#: They describe the bytes on the wire, and the body is decoded already.
_OF_THE_TRANSFER = frozenset({"content-encoding", "content-length", "transfer-encoding"})


@contextmanager
def _unlogged() -> Iterator[None]:
    """Silence httpx, because it logs each URL at INFO, and URLs of webhooks are secrets."""

    def warnings_only(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    logger = logging.getLogger("httpx")
    logger.addFilter(warnings_only)
    try:
        yield
    finally:
        logger.removeFilter(warnings_only)
