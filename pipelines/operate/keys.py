"""Create, list and revoke the API keys of a tenant."""

from core.settings import Settings
from pipelines.stores.keys import ApiKey, KeyRing
from pipelines.stores.ready import ready_dsn
from pipelines.stores.session import Pool, open_pool


def create_key(settings: Settings, note: str = "") -> str:
    """Create a key for the tenant of the settings. Only its hash is stored, so the key cannot be shown again."""
    with _pool(settings) as pool:
        return KeyRing(pool).create(settings.tenant, note)


def list_keys(settings: Settings) -> list[ApiKey]:
    """List the keys of the tenant, without their secrets, newest first."""
    with _pool(settings) as pool:
        return KeyRing(pool).list(settings.tenant)


def revoke_key(settings: Settings, key_id: str) -> None:
    """Revoke a key of the tenant.

    Raises:
        NotFoundError: the tenant has no such key.
    """
    with _pool(settings) as pool:
        KeyRing(pool).revoke(key_id, settings.tenant)


def _pool(settings: Settings) -> Pool:
    return open_pool(ready_dsn(settings), max_size=1)
