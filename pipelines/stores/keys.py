"""API keys: each gives access to one tenant. Only a hash is stored; the key itself is shown once."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import dict_row

from core.errors import NotFoundError
from pipelines.stores.session import Pool, database_errors, require_tenant, utc, utc_or_none

_KEY = re.compile(r"fw_([0-9a-f]{12})_([0-9a-f]{48})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key without its secret; `key_id` is the middle part of the key."""

    key_id: str
    tenant: str
    note: str
    created_at: datetime
    revoked_at: datetime | None


class KeyRing:
    """The keys of all tenants. Only the key tells which tenant a request belongs to."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def create(self, tenant: str, note: str = "") -> str:
        """Make a key for a tenant.

        Returns:
            The key, `fw_<id>_<secret>`. It is not stored and cannot be shown again.
        Raises:
            InputError: `tenant` is not a valid name.
        """
        require_tenant(tenant)
        key_id = secrets.token_hex(6)
        key = f"fw_{key_id}_{secrets.token_hex(24)}"
        with database_errors(), self._pool.connection() as connection:
            connection.execute(
                "INSERT INTO api_keys (key_id, tenant, note, digest) VALUES (%s, %s, %s, %s)",
                [key_id, tenant, note, _digest(key)],
            )
        return key

    def resolve(self, key: str) -> str | None:
        """The tenant of a key; null when the key is unknown or revoked. Compares in constant time."""
        match = _KEY.fullmatch(key)
        if match is None:
            return None
        with database_errors(), self._pool.connection() as connection:
            row = connection.execute(
                "SELECT tenant, digest FROM api_keys WHERE key_id = %s AND revoked_at IS NULL", [match[1]]
            ).fetchone()
        if row is None or not hmac.compare_digest(bytes(row[1]), _digest(key)):
            return None
        return str(row[0])

    def revoke(self, key_id: str, tenant: str) -> None:
        """Revoke a tenant's key for ever; revoking it again is no error.

        Raises:
            NotFoundError: the tenant has no such key.
        """
        with database_errors(), self._pool.connection() as connection:
            touched = connection.execute(
                "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now())"
                " WHERE key_id = %s AND tenant = %s",
                [key_id, tenant],
            ).rowcount
        if not touched:
            raise NotFoundError(f"there is no API key {key_id!r}")

    def list(self, tenant: str) -> list[ApiKey]:
        """The keys of a tenant, revoked ones too, newest first."""
        with (
            database_errors(),
            self._pool.connection() as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            rows = cursor.execute(
                "SELECT key_id, tenant, note, created_at, revoked_at FROM api_keys WHERE tenant = %s"
                " ORDER BY created_at DESC, key_id",
                [tenant],
            ).fetchall()
        return [
            ApiKey(
                **{**row, "created_at": utc(row["created_at"]), "revoked_at": utc_or_none(row["revoked_at"])}
            )
            for row in rows
        ]


def _digest(key: str) -> bytes:
    # unlike a password, 192 random bits cannot be guessed, so a fast hash is enough
    return hashlib.sha256(key.encode()).digest()
