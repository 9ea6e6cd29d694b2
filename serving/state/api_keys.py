"""API keys: each is bound to one tenant, and a request has access to the data of that tenant only."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Protocol

from core.errors import AuthenticationError
from serving.state.work import WorkPool

#: A revoked key works for at most so many seconds. A key that was used before it existed is refused for as long.
KEY_TTL_S = 10.0
#: Look-ups that ask the database at once, so that clients that guess keys cannot use up its connections.
_LOOKUPS = 2
_MOST_WAITING = 256


class KeyRing(Protocol):
    def resolve(self, key: str) -> str | None:
        """The tenant of an API key, or null."""
        ...


class KeyCache:
    """Looks up the tenants of keys, each at most once in `ttl_s`.

    Only SHA-256 hashes of keys are kept, so that a memory dump of this process does not contain keys.
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
        # Two caches, so that a client that guesses keys cannot displace valid keys.
        self._valid: OrderedDict[bytes, tuple[str | None, float]] = OrderedDict()
        self._invalid: OrderedDict[bytes, tuple[str | None, float]] = OrderedDict()
        self._lookups = WorkPool("the look-up of keys", threads=_LOOKUPS, waiting=_MOST_WAITING)

    async def tenant_of(self, key: str) -> str:
        """The tenant that the key is bound to.

        Raises:
            AuthenticationError: the key does not exist, or it was revoked.
            UnavailableError: the database does not respond.
        """
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        found = self._valid.get(digest) or self._invalid.get(digest)
        if found is None or found[1] <= self._clock():
            found = await self._look_up(digest, key)
        tenant = found[0]
        if tenant is None:
            raise AuthenticationError("the API key is not valid")
        return tenant

    async def _look_up(self, digest: bytes, key: str) -> tuple[str | None, float]:
        tenant = await self._lookups.run(partial(self._ring.resolve, key))
        entry = (tenant, self._clock() + self._ttl_s)
        for cache in (self._valid, self._invalid):
            cache.pop(digest, None)
        cache = self._invalid if tenant is None else self._valid
        cache[digest] = entry
        if len(cache) > self._size:
            cache.popitem(last=False)
        return entry


def key_from(authorization: str | None, api_key: str | None) -> str:
    """The key of a request, from `Authorization: Bearer ...` or `X-API-Key`.

    Raises:
        AuthenticationError: there is none. A key in the URL is not read, because many programs log URLs.
    """
    if authorization is not None:
        scheme, _, credentials = authorization.partition(" ")
        if scheme.lower() == "bearer" and credentials.strip():
            return credentials.strip()
    if api_key is not None and api_key.strip():
        return api_key.strip()
    raise AuthenticationError("an API key is needed, as `Authorization: Bearer <key>` or `X-API-Key: <key>`")
