"""Where the samples that clients push are kept."""

from core.pushed import PushedStores
from pipelines.common.tenant_platform import Platform


def pushed_stores(platform: Platform) -> PushedStores | None:
    """All that is kept of what the tenant's clients push; null: no golden signals are computed of it."""
    store = platform.store
    if not platform.settings.golden_signals:
        return None
    return PushedStores(raw=store.pushed, sizes=store.pushed_sizes, replicas=store.pushed_replicas)
