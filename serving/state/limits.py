"""Limits of requests: their rate for each tenant, and the size of a body, counted while it arrives."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from serving.contract.errors import RefusedError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

#: A client that sends its body slowly holds a connection. A megabyte takes less than this on any usual network.
BODY_TIMEOUT_S = 20.0


class RateLimiter:
    """A token bucket for each key, in this process: `rate_per_s` on average, and twice as many at once.

    The least recently used buckets are dropped. A key whose bucket was dropped starts with a full one.
    """

    def __init__(self, rate_per_s: float, clock: Callable[[], float], *, keys: int = 10_000) -> None:
        self._rate_per_s = rate_per_s
        self._burst = max(1.0, 2.0 * rate_per_s)
        self._clock = clock
        self._keys = keys
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one token.

        Returns:
            0.0 when there was one, else the seconds until there is one.
        """
        now = self._clock()
        tokens, then = self._buckets.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._rate_per_s)
        wait_s = 0.0 if tokens >= 1.0 else (1.0 - tokens) / self._rate_per_s
        self._buckets[key] = (tokens if wait_s else tokens - 1.0, now)
        if len(self._buckets) > self._keys:
            self._buckets.popitem(last=False)
        return wait_s


def require_rate(limiter: RateLimiter, key: str) -> None:
    """Raises RefusedError (429, with Retry-After) when the key exceeds its rate."""
    wait_s = limiter.take(key)
    if wait_s:
        seconds = max(1, math.ceil(wait_s))
        raise RefusedError(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"too many requests; try again in {seconds} s",
            {"Retry-After": str(seconds)},
        )


async def read_body(receive: Receive, declared: str | None, max_bytes: int) -> bytes:
    """The whole body; at most `max_bytes` of it are held in memory, also when the client sends it in chunks.

    Args:
        declared: the Content-Length header, if there is one.
    Raises:
        RefusedError: 413 when it is larger, 408 when it arrives too slowly, 400 when the client disconnects.
    """
    too_large = RefusedError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than {max_bytes} bytes; send it in parts",
        {"Connection": "close"},
    )
    if declared is not None and declared.isdigit() and int(declared) > max_bytes:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RefusedError(
                        HTTPStatus.BAD_REQUEST, "the client disconnected before the body was complete"
                    )
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > max_bytes:
                    raise too_large
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise RefusedError(
            HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time", {"Connection": "close"}
        ) from None
