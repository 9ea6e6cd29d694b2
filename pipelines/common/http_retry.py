"""Repeats HTTP requests as servers ask for it. All outgoing HTTP of sources and sinks goes through `HttpRetry.send`.

A server that answers 429, 408 or 503 gets no further request before its `Retry-After` has passed, not even another
one of the same caller. A caller that cannot wait so long gets `RetryLaterError` with the time from which on it may
try again; it stores that time where other processes send to the same server.

References:
    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Lock

import httpx

from core.clock import Clock, SystemClock
from core.errors import RetryLaterError

#: With these a server says that it is busy; it did not act on the request. Only these may carry a Retry-After.
BUSY = frozenset({408, 429, 503})
#: A repeat often succeeds after these, but the server may have acted on the request already.
FAILED = frozenset({500, 502, 504})
#: The wait after a 429 without a Retry-After, when the policy has no wait of its own.
DEFAULT_WAIT_S = 30.0
#: A server that asks for more than a day gets the next request after a day.
MAX_WAIT_S = 86_400.0
#: Characters of a body that an error shows.
SHOWN_CHARS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long a caller waits.

    Attributes:
        waits_s: waits between attempts, in seconds, where the server asks for none; their number limits the attempts.
        patience_s: the sum of all waits of one request, in seconds. 0: never wait, but raise `RetryLaterError`.
        repeatable: whether a request that may have had its effect is sent again: after 500, 502, 504 and a lost
            connection. True for reads.
        is_final: responses that a repeat does not change.
    """

    waits_s: Sequence[float] = ()
    patience_s: float = 0.0
    repeatable: bool = False
    is_final: Callable[[httpx.Response], bool] = lambda response: False


#: For sinks: the outbox waits, not the process.
SEND_ONCE = RetryPolicy()


class HttpRetry:
    """Sends requests to one server. It is thread-safe; keep one for each server, because it remembers waits.

    Args:
        server: its name in errors. It must not contain a secret.
        secrets: texts that the errors do not show, even if a response repeats them.
        clock: only for HTTP dates; waits do not depend on it, because people set clocks back.
        sleep, monotonic: for tests.
    """

    def __init__(
        self,
        server: str,
        policy: RetryPolicy = SEND_ONCE,
        *,
        secrets: Sequence[str] = (),
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._policy = policy
        self._secrets = tuple(secrets)
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._monotonic = monotonic
        self._not_before = monotonic()
        self._reason = ""
        self._lock = Lock()

    def send(self, request: Callable[[], httpx.Response]) -> httpx.Response:
        """Send a request, and again as far as the policy and the server allow it.

        Args:
            request: sends it once and reads the body of the response: `lambda: client.get(url)`.
        Returns:
            The last response, which may be an error.
        Raises:
            RetryLaterError: the server asks for a longer wait than the policy allows.
            httpx.TransportError: the connection failed, and so did its repeats.
        """
        patience_s = self._policy.patience_s
        waits = iter(self._policy.waits_s)
        while True:
            patience_s -= self._wait_as_asked(patience_s)
            try:
                response = request()
            except httpx.TransportError:
                wait_s = next(waits, None) if self._policy.repeatable else None
                if wait_s is None or wait_s > patience_s:
                    raise
            else:
                if response.is_success or self._policy.is_final(response):
                    return response
                if self._remember(response, waits):
                    continue
                repeated = response.status_code in BUSY or (
                    response.status_code in FAILED and self._policy.repeatable
                )
                wait_s = next(waits, None) if repeated else None
                if wait_s is None or wait_s > patience_s:
                    return response
            self._sleep(wait_s)
            patience_s -= wait_s

    def _wait_as_asked(self, patience_s: float) -> float:
        """Wait until the server allows the next request; returns for how many seconds."""
        with self._lock:
            wait_s, reason = max(0.0, self._not_before - self._monotonic()), self._reason
        if wait_s > patience_s:
            retry_at = self._clock.now() + timedelta(seconds=wait_s)
            raise RetryLaterError(
                f"{reason}; the next request is due at {retry_at:%Y-%m-%d %H:%M:%S} UTC", retry_at
            )
        if wait_s > 0:
            self._sleep(wait_s)
        return wait_s

    def _remember(self, response: httpx.Response, waits: Iterator[float]) -> bool:
        """Keep how long the server asks to wait; false when it does not ask."""
        status = response.status_code
        wait_s = retry_after_s(response, self._clock.now()) if status in BUSY else None
        if wait_s is None and status == httpx.codes.TOO_MANY_REQUESTS:
            wait_s = next(waits, DEFAULT_WAIT_S)
        if wait_s is None:
            return False
        shown = body_text(response, self._secrets)
        with self._lock:
            self._not_before = max(self._not_before, self._monotonic() + wait_s)
            self._reason = f"{self._server} answered HTTP {status}" + (f": {shown}" if shown else "")
        return True


def retry_after_s(response: httpx.Response, now: datetime) -> float | None:
    """Seconds that a server asks to wait, at least 1 and at most `MAX_WAIT_S`; null where it does not ask.

    A date counts from the server's own date, because its clock may differ from ours. 0 and times that have passed do
    not ask for a wait.
    """
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        wait_s = float(text)
    else:
        until = _http_date(text)
        if until is None:
            return None
        sent = _http_date(response.headers.get("Date", "")) or now
        wait_s = (until - sent).total_seconds()
    return min(max(wait_s, 1.0), MAX_WAIT_S) if wait_s > 0 else None


def body_text(response: httpx.Response, secrets: Sequence[str] = ()) -> str:
    """What a response says about an error, in one line of at most `SHOWN_CHARS` characters; "" where it is empty.

    Args:
        secrets: are replaced by `***`.
    """
    text = _error_in_json(response) or response.text
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "..."


def _error_in_json(response: httpx.Response) -> str:
    """The field in which Prometheus, Alertmanager and many others put the reason; "" where there is none."""
    try:
        body = response.json()
    except ValueError:
        return ""
    texts = [body.get(name) for name in ("error", "message")] if isinstance(body, dict) else [body]
    return next((text for text in texts if isinstance(text, str) and text), "")


def _http_date(text: str) -> datetime | None:
    """One of the three forms of a date in HTTP, in UTC; null when the text is none of them."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    # the oldest form has no zone, and all dates in HTTP are in UTC
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
