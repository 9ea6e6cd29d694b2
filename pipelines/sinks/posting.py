"""One HTTP POST to a receiver. No secret of it appears in an error or in a log."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from core.errors import UnavailableError

TIMEOUT_S = 10.0


class RejectedError(UnavailableError):
    """The receiver answers, but refuses what was sent."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """An address to post to.

    Attributes:
        name: of the receiver, for errors.
        url: may contain a secret (as Slack's does), so no repr shows it.
    """

    name: str
    url: str

    def __repr__(self) -> str:
        return f"Receiver(name={self.name!r})"

    def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send the body and wait for a 2xx.

        Raises:
            RejectedError: the receiver answers with a 4xx.
            UnavailableError: the receiver does not answer, or answers with another status.
        """
        try:
            with _unlogged(), httpx.Client(timeout=TIMEOUT_S) as client:
                response = client.post(self.url, content=body, headers=dict(headers))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # httpx's own message may contain the URL, and the chain of causes would show it
            raise UnavailableError(f"{self.name} does not answer ({type(error).__name__})") from None
        if response.is_success:
            return
        if 400 <= response.status_code < 500:
            raise RejectedError(f"{self.name} refused what was sent with HTTP {response.status_code}")
        raise UnavailableError(f"{self.name} answered HTTP {response.status_code}")


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
