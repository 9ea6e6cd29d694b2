"""Limits of requests: their rate for each tenant, and the size of a body, counted while it arrives."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

from core.intake import PriorityLane
from serving.contract.errors import RefusedError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

#: A client that sends its body slowly holds a connection. A megabyte takes less than this on any usual network.
BODY_TIMEOUT_S = 20.0
#: All bodies in memory have at most so many bytes, or that of four bodies of the largest size.
BODIES_BYTES = 16_000_000
#: The memory for bodies that a priority lane has for itself, or that of two bodies of the largest size.
LANE_BODIES_BYTES = 2_000_000
#: A body that found no memory may be sent again after this time.
RETRY_AFTER_S = 2


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


class BodyMemory:
    """Bounds the bytes of all bodies that are in memory at once, from their arrival to their response.

    What is made from a body (values, samples) takes up to forty times its bytes, so this also bounds that. One tenant
    gets at most half of it, so that its large bodies do not shut out the others.

    Args:
        most_bytes: of all bodies.
    """

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._share = most_bytes // 2
        self._held: dict[str | None, int] = {}

    def lease(self) -> "Lease":
        """The memory of one body, which is still empty."""
        return Lease(self)

    def take(self, owner: str | None, size: int) -> None:
        """Take some bytes for a tenant.

        Raises:
            RefusedError: 503, with Retry-After, because the memory for bodies is in use.
        """
        if size > self._left or self._held.get(owner, 0) + size > self._share:
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"the bodies of other requests use the memory for bodies; try again in {RETRY_AFTER_S} s",
                {"Retry-After": str(RETRY_AFTER_S), "Connection": "close"},
            )
        self.move(owner, size)

    def move(self, owner: str | None, size: int) -> None:
        """Count bytes of a tenant as used; a negative size: as free."""
        self._left -= size
        held = self._held.get(owner, 0) + size
        if held:
            self._held[owner] = held
        else:
            self._held.pop(owner, None)


def bodies_by_lane(max_body_bytes: int) -> Mapping[PriorityLane, BodyMemory]:
    """The memory for bodies of the lanes that have their own; metrics share theirs with requests that only read."""
    size = max(LANE_BODIES_BYTES, 2 * max_body_bytes)
    return {lane: BodyMemory(size) for lane in PriorityLane if lane is not PriorityLane.METRICS}


class Lease:
    """The memory that one body has taken."""

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self.owner: str | None = None
        self.size = 0

    def take(self, size: int) -> None:
        """Take some more; raises as `BodyMemory.take`."""
        self._memory.take(self.owner, size)
        self.size += size

    def release(self) -> None:
        """Give all of it back, when the response is complete."""
        self._memory.move(self.owner, -self.size)
        self.size = 0


async def read_body(receive: Receive, declared: str | None, max_bytes: int, memory: Lease) -> bytes:
    """The whole body; at most `max_bytes` of it are held in memory, also when the client sends it in chunks.

    Args:
        declared: the Content-Length header, if there is one.
        memory: takes what arrives.
    Raises:
        RefusedError: 413 when it is larger, 408 when it arrives too slowly, 400 when the client disconnects, 503 when
            too many other bodies are in memory.
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
                memory.take(len(part))
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise RefusedError(
            HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time", {"Connection": "close"}
        ) from None
