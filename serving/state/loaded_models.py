"""The models that answer: loaded once, replaced whole, and never missing in between.

A request takes a `LoadedModel` once and keeps it until it has answered, so a version that is promoted meanwhile
neither mixes with it nor waits for it. The next version is downloaded, built and tried beside the one in use;
only then a single assignment puts it in its place.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from core.domain import ModelRef
from core.errors import ModelUnavailableError, UnavailableError
from core.ports import ModelRegistry
from models.lifecycle.bundles import load_bundle

_logger = logging.getLogger("forewarn.serving")

LoadBundle = Callable[[str, Mapping[str, bytes]], Any]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A version, ready to answer."""

    ref: ModelRef
    bundle: Any


class LoadedModels:
    """The champions of one tenant, by kind; each is loaded when it is first asked for."""

    def __init__(
        self,
        registry: ModelRegistry,
        *,
        retry_s: float,
        load: LoadBundle = load_bundle,
        told: Callable[[str, str], None] = lambda kind, outcome: None,
    ) -> None:
        """`told` hears of every load as kind and outcome, `ok` or `failed`."""
        self._registry = registry
        self._retry_s = retry_s
        self._load = load
        self._told = told
        self._loaded: dict[str, LoadedModel] = {}
        self._missing: dict[str, tuple[str, float]] = {}
        self._broken: dict[str, ModelRef] = {}
        self._lock = threading.Lock()

    def get(self, kind: str) -> LoadedModel:
        """The champion of that kind.

        Raises:
            ModelUnavailableError: there is none yet.
            UnavailableError: there is none in memory and the registry does not answer.
        """
        found = self._loaded.get(kind)
        if found is not None:
            return found
        with self._lock:
            if kind not in self._loaded:
                self._require_not_missing(kind)
                try:
                    self._loaded[kind] = self._fetch(kind)
                except ModelUnavailableError as error:
                    self._missing[kind] = (str(error), monotonic() + self._retry_s)
                    raise
            return self._loaded[kind]

    def refresh(self) -> None:
        """Look for newly promoted versions of the kinds in use; what is in use stays until they are ready.

        Raises:
            UnavailableError: the registry does not answer.
        """
        for kind, current in list(self._loaded.items()):
            ref = self._registry.resolve(kind)
            if ref is None or ref == current.ref or ref == self._broken.get(kind):
                continue
            try:
                loaded = self._fetch(kind)
            except UnavailableError:
                raise
            except Exception:
                # A version that cannot be built must not take down the one that works; it is not tried again.
                _logger.exception(
                    "version %d of %s cannot be loaded; %d stays", ref.version, ref.name, current.ref.version
                )
                self._broken[kind] = ref
                continue
            self._loaded[kind] = loaded
            _logger.info("%s: version %d now answers", loaded.ref.name, loaded.ref.version)

    def in_use(self) -> dict[str, ModelRef]:
        """Kind -> version, of all that is in memory."""
        return {kind: loaded.ref for kind, loaded in sorted(self._loaded.items())}

    def _require_not_missing(self, kind: str) -> None:
        text, until = self._missing.get(kind, ("", 0.0))
        if monotonic() < until:
            raise ModelUnavailableError(text)

    def _fetch(self, kind: str) -> LoadedModel:
        outcome = "failed"
        try:
            ref, files = self._registry.load(kind)
            bundle = self._load(kind, files)
            _try_out(bundle)
            outcome = "ok"
        finally:
            self._told(kind, outcome)
        return LoadedModel(ref, bundle)


def _try_out(bundle: Any) -> None:
    """Let a detector judge one value: what it compiles on first use, no caller waits for."""
    models = getattr(bundle, "models", None)
    if models and hasattr(bundle, "score_points"):
        moment = datetime.now(UTC)
        # Enough values to go through the code for many rows as well as for one.
        times = [moment + timedelta(seconds=second) for second in range(3)]
        bundle.score_points(next(iter(models)), times, [0.0, None, 1.0])
