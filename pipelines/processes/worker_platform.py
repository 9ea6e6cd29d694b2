"""What a worker process needs to do a part of a step: the platform of the tenant, and the version of a model."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import SecretStr

from core.archive import archive_place
from core.clock import FixedClock
from core.domain import ModelRef
from core.settings import Settings
from pipelines.common.tenant_platform import OpenPlatform, Platform
from pipelines.processes.parallel import keeps_workers
from pipelines.processes.temporary_files import own_temporary_folder

Model = TypeVar("Model")
Result = TypeVar("Result")


class ModelChangedError(Exception):
    """Another version was promoted during a step that needs one for the whole fleet; it begins again."""


def until_unchanged(work: Callable[[], Result]) -> Result:
    """Do the work of a step; if another version is promoted meanwhile, do it again: that replaces what was stored."""
    while True:
        with suppress(ModelChangedError):
            return work()


#: Least number of series for which a cycle uses workers; only those that stay for the next cycle are used. One that
#: starts for a single cycle needs longer for its imports and its models than it saves.
WORTH_WORKERS = 2_000
_SECRETS_OF_STORES = ("database_url", "mlflow_tracking_uri", "redis_url")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlatform:
    """Opens the platform of a tenant in a worker.

    Attributes:
        now: the present of the step.
    """

    open: OpenPlatform
    settings: Settings
    tenant: str
    now: datetime

    @classmethod
    def of(cls, platform: Platform, series: int, now: datetime, *, is_long: bool = False) -> Self | None:
        """For a step over so many series; null: it does not pay, or only this process has the platform.

        Args:
            is_long: whether it pays even if workers start for this step alone.
        """
        settings, opens = platform.settings, platform.elsewhere
        # A cluster that the settings name is used for a fleet of any size.
        pays = settings.compute != "processes" or is_long or (keeps_workers() and series >= WORTH_WORKERS)
        if opens is None or settings.workers == 1 or not pays:
            return None
        return cls(open=opens, settings=_for_a_worker(settings), tenant=platform.tenant, now=now)

    @contextmanager
    def opened(self) -> Iterator[Platform]:
        """The platform, in a worker; it stays open for the next part."""
        own_temporary_folder()
        with self.open(self.settings, tenant=self.tenant, clock=FixedClock(self.now)) as platform:
            yield platform


#: The newest version of each kind of each tenant in a worker, as it was learned.
_versions: dict[tuple[str, str], tuple[ModelRef, Any]] = {}


def load_version(
    platform: Platform,
    kind: str,
    read: Callable[[Mapping[str, bytes]], Model],
    model: ModelRef,
) -> Model | None:
    """A version as it was learned; null if the newest version is another one.

    A worker calls it for each part of a cycle. The registry is asked when the version changes.
    """
    key = (platform.tenant, kind)
    kept = _versions.get(key)
    if kept is None or kept[0] != model:
        # First, so that two versions are never in memory at once.
        _versions.pop(key, None)
        kept = platform.models.get_newest(kind, read)
        _versions[key] = kept
    found: Model = kept[1]
    return found if kept[0] == model else None


def _for_a_worker(settings: Settings) -> Settings:
    """The settings with absolute paths, for a worker in another folder, and without passwords that it does not need."""
    changes: dict[str, object] = {"queues": ()}
    for name, value in settings:
        if isinstance(value, Path):
            changes[name] = value.absolute()
        elif isinstance(value, SecretStr) and name not in _SECRETS_OF_STORES:
            changes[name] = None
    if settings.archive_url is not None and (place := archive_place(settings.archive_url)).bucket is None:
        changes["archive_url"] = str(Path(place.path).absolute())
    return settings.model_copy(update=changes)
