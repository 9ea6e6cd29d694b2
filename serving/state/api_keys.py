"""Who asks: an API key is bound to one tenant, and that tenant is all that the rest of a request sees."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from core.errors import AuthenticationError

#: A revoked key works for at most this long; a new one that was tried too early is refused as long.
KEY_TTL_S = 10.0
#: How many look-ups may wait for the database at once, so that guessing keys cannot exhaust its pool.
_LOOKUPS = 2


class KeyRing(Protocol):
    def resolve(self, key: str) -> str | None:
        """The tenant of an API key, or null."""
        ...


class KeyCache:
    """Answers who holds a key, asking the key ring at most once in `ttl_s` for each.

    Keys are kept as SHA-256 only, so that a dump of this process does not give them away.
    """

    def __init__(
        self,
        ring: KeyRing,
        *,
        ttl_s: float = KEY_TTL_S,
        size: int = 4_096,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ring = ring
        self._ttl_s = ttl_s
        self._size = size
        self._clock = clock
        # Apart, so that guessing keys cannot push out the ones that are right.
        self._right: OrderedDict[bytes, tuple[str | None, float]] = OrderedDict()
        self._wrong: OrderedDict[bytes, tuple[str | None, float]] = OrderedDict()
        self._lookups = asyncio.Semaphore(_LOOKUPS)

    async def tenant_of(self, key: str) -> str:
        """The tenant that the key is bound to.

        Raises:
            AuthenticationError: there is no such key, or it was revoked.
            UnavailableError: the database does not answer.
        """
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        found = self._right.get(digest) or self._wrong.get(digest)
        if found is None or found[1] <= self._clock():
            found = await self._look_up(digest, key)
        tenant = found[0]
        if tenant is None:
            raise AuthenticationError("the API key is not valid")
        return tenant

    async def _look_up(self, digest: bytes, key: str) -> tuple[str | None, float]:
        async with self._lookups:
            tenant = await asyncio.to_thread(self._ring.resolve, key)
        entry = (tenant, self._clock() + self._ttl_s)
        for cache in (self._right, self._wrong):
            cache.pop(digest, None)
        cache = self._wrong if tenant is None else self._right
        cache[digest] = entry
        if len(cache) > self._size:
            cache.popitem(last=False)
        return entry


def key_from(authorization: str | None, api_key: str | None) -> str:
    """The key of a request, from `Authorization: Bearer ...` or `X-API-Key`.

    Raises:
        AuthenticationError: there is none; a key in the URL is never read, for URLs are logged everywhere.
    """
    if authorization is not None:
        scheme, _, credentials = authorization.partition(" ")
        if scheme.lower() == "bearer" and credentials.strip():
            return credentials.strip()
    if api_key is not None and api_key.strip():
        return api_key.strip()
    raise AuthenticationError("an API key is needed, as `Authorization: Bearer <key>` or `X-API-Key: <key>`")
