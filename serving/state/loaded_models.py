"""The active models of one tenant: each is loaded once and replaced whole.

A request takes a `LoadedModel` once and keeps it until its response is ready. A version that is promoted in the
meantime does not mix with it and does not wait for it: the next version is downloaded, built and tried beside the
active one, and a single assignment then replaces it.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Generic, TypeVar

from core.domain import ModelRef
from core.errors import ModelUnavailableError, UnavailableError
from core.model_registry import ModelRegistry
from models.lifecycle.bundles import load_bundle
from serving.state.jobs import FailurePredictor, FleetDetector, FleetForecaster, HoldsForecasters

_logger = logging.getLogger("forewarn.serving")

Model = TypeVar("Model")

#: Makes a bundle of a kind from its files.
LoadBundle = Callable[[str, Mapping[str, bytes]], object]
#: Is called after each load with the kind and the outcome, `ok` or `failed`.
OnLoad = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class LoadedModel(Generic[Model]):
    """One version of a model in memory."""

    ref: ModelRef
    model: Model


class ActiveModel(Generic[Model]):
    """The champion of one kind; it is loaded at the first request for it.

    Args:
        build: makes the model from the files of its bundle.
        retry_s: after a failed search for a champion, the registry is not asked again for so many seconds.
    """

    def __init__(
        self,
        kind: str,
        registry: ModelRegistry,
        *,
        build: Callable[[Mapping[str, bytes]], Model],
        retry_s: float,
        on_load: OnLoad = lambda kind, outcome: None,
    ) -> None:
        self._kind = kind
        self._registry = registry
        self._build = build
        self._retry_s = retry_s
        self._on_load = on_load
        self._loaded: LoadedModel[Model] | None = None
        self._missing: tuple[str, float] = ("", 0.0)
        self._broken: ModelRef | None = None
        self._lock = threading.Lock()

    @property
    def ref(self) -> ModelRef | None:
        """The version in memory; null before the first request."""
        return None if self._loaded is None else self._loaded.ref

    def get(self) -> LoadedModel[Model]:
        """The champion.

        Raises:
            ModelUnavailableError: the registry has no champion yet.
            UnavailableError: no version is in memory and the registry does not respond.
        """
        if self._loaded is not None:
            return self._loaded
        with self._lock:
            if self._loaded is None:
                self._require_not_missing()
                try:
                    self._loaded = self._fetch()
                except ModelUnavailableError as error:
                    self._missing = (str(error), monotonic() + self._retry_s)
                    raise
            return self._loaded

    def refresh(self) -> None:
        """Load a newly promoted version; the active one stays until the new one is ready.

        Raises:
            UnavailableError: the registry does not respond.
        """
        current = self._loaded
        if current is None:
            return
        ref = self._registry.resolve(self._kind)
        if ref is None or ref in (current.ref, self._broken):
            return
        try:
            loaded = self._fetch()
        except UnavailableError:
            raise
        except Exception:
            # A version that cannot be built must not replace a working one, and is not tried again.
            _logger.exception(
                "version %d of %s cannot be loaded; version %d stays active",
                ref.version,
                ref.name,
                current.ref.version,
            )
            self._broken = ref
            return
        self._loaded = loaded
        _logger.info("%s: version %d is active", loaded.ref.name, loaded.ref.version)

    def _require_not_missing(self) -> None:
        text, until = self._missing
        if monotonic() < until:
            raise ModelUnavailableError(text)

    def _fetch(self) -> LoadedModel[Model]:
        outcome = "failed"
        try:
            ref, files = self._registry.load(self._kind)
            model = self._build(files)
            outcome = "ok"
        finally:
            self._on_load(self._kind, outcome)
        return LoadedModel(ref, model)


class LoadedModels:
    """The champions of one tenant, one for each job."""

    def __init__(
        self,
        registry: ModelRegistry,
        *,
        retry_s: float,
        load: LoadBundle = load_bundle,
        on_load: OnLoad = lambda kind, outcome: None,
    ) -> None:
        self._detector = ActiveModel[FleetDetector](
            "detector",
            registry,
            build=lambda files: _detector(load("detector", files)),
            retry_s=retry_s,
            on_load=on_load,
        )
        self._forecaster = ActiveModel[FleetForecaster](
            "forecaster",
            registry,
            build=lambda files: _forecaster(load("forecaster", files)),
            retry_s=retry_s,
            on_load=on_load,
        )
        self._failure = ActiveModel[FailurePredictor](
            "failure",
            registry,
            build=lambda files: _failure_predictor(load("failure", files)),
            retry_s=retry_s,
            on_load=on_load,
        )

    def detector(self) -> LoadedModel[FleetDetector]:
        """The active detector; raises as `ActiveModel.get` does."""
        return self._detector.get()

    def forecaster(self) -> LoadedModel[FleetForecaster]:
        """The active forecaster; raises as `ActiveModel.get` does."""
        return self._forecaster.get()

    def failure(self) -> LoadedModel[FailurePredictor]:
        """The active failure model; raises as `ActiveModel.get` does."""
        return self._failure.get()

    def refresh(self) -> None:
        """Load newly promoted versions of the models in memory.

        Raises:
            UnavailableError: the registry does not respond.
        """
        self._detector.refresh()
        self._failure.refresh()
        self._forecaster.refresh()

    def in_use(self) -> dict[str, ModelRef]:
        """Kind -> version, of all models in memory."""
        refs = {
            "detector": self._detector.ref,
            "failure": self._failure.ref,
            "forecaster": self._forecaster.ref,
        }
        return {kind: ref for kind, ref in refs.items() if ref is not None}


def _detector(bundle: object) -> FleetDetector:
    if not isinstance(bundle, FleetDetector):
        raise _wrong_job("detector", bundle)
    _try_out(bundle)
    return bundle


def _forecaster(bundle: object) -> FleetForecaster:
    if not isinstance(bundle, HoldsForecasters):
        raise _wrong_job("forecaster", bundle)
    return bundle.forecasters


def _failure_predictor(bundle: object) -> FailurePredictor:
    if not isinstance(bundle, FailurePredictor):
        raise _wrong_job("failure", bundle)
    return bundle


def _wrong_job(kind: str, bundle: object) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"the registered {kind} model is a {type(bundle).__name__}, which cannot serve as {kind}; "
        f"train and promote the {kind} again"
    )


def _try_out(detector: FleetDetector) -> None:
    """Score one value: code that is compiled at the first call is compiled before the first request."""
    if not detector.models:
        return
    moment = datetime.now(UTC)
    # Several values run the code for many rows and the code for one row.
    times = [moment + timedelta(seconds=second) for second in range(3)]
    detector.score_points(next(iter(detector.models)), times, [0.0, None, 1.0])
