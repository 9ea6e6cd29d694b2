"""The sidecar files as processes need them that take what clients push."""

from core.batch import Batch
from pipelines.collect.ingest import ingest_batch
from pipelines.common.tenant_platform import Platform
from pipelines.sources.sidecars import CurrentSidecars, Sidecars


class PushedSidecars:
    """What the sidecar files declare about pushed series. They describe the default tenant only.

    Raises:
        InputError: a file is not valid.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        settings = platform.settings
        folder = settings.sidecars_dir if platform.tenant == settings.tenant else None
        self._sidecars = CurrentSidecars(folder, platform.tenant)
        # Without a folder there is nothing to store.
        self._stored: Sidecars | None = self._sidecars.get() if folder is None else None

    def stored(self) -> Sidecars:
        """What the sidecar files declare of series now. Their events and incidents, and their bad rows as dead letters,
        are stored when the files are new or have changed."""
        current = self._sidecars.get()
        if current is not self._stored:
            ingest_batch(self._platform, "sidecars", current.added_to(Batch()))
            self._stored = current
        return current.descriptions_only
