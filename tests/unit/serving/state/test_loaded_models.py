"""A newly promoted version replaces the old one as a whole. When it fails, the old one stays."""

from collections.abc import Mapping
from typing import Any

import pytest
from fakes.serving import FakeDetector, FakeRegistry

from core.bundles import require_format
from core.errors import ModelUnavailableError, UnavailableError, UnknownSeriesError
from models.breach.bundle import BreachBundle
from models.detect.bundle import DetectorBundle
from models.failure.bundle import FailureBundle
from models.failure.parts import FailureParts
from models.forecast.bundle import ForecasterBundle
from models.forecast.files import ForecastParts
from models.lifecycle.bundles import load_bundle
from serving.state.jobs import FailurePredictor, FleetDetector, FleetForecaster
from serving.state.loaded_models import ActiveModel, LoadedModels


def version_of(files: Mapping[str, bytes]) -> int:
    if files["version"] == b"666":
        raise ValueError("not a bundle")
    if files["version"] == b"667":
        require_format("detector", {"format": 1}, 2)
    return int(files["version"])


def detector_over(registry: FakeRegistry) -> ActiveModel[int]:
    return ActiveModel("detector", registry, build=version_of, retry_s=60)


def test_a_model_is_loaded_once_for_many_requests() -> None:
    registry = FakeRegistry(versions={"detector": 1})
    detector = detector_over(registry)
    assert [detector.get().model for _ in range(3)] == [1, 1, 1]
    assert registry.loads == 1


def test_a_promoted_version_is_active_after_the_next_refresh() -> None:
    registry = FakeRegistry(versions={"detector": 1})
    detector = detector_over(registry)
    before = detector.get()
    registry.versions["detector"] = 2
    assert detector.get() is before
    detector.refresh()
    assert (detector.get().model, detector.get().ref.version) == (2, 2)
    assert before.model == 1


@pytest.mark.parametrize("broken", [666, 667])
def test_a_version_that_cannot_be_built_leaves_the_old_one_and_is_tried_once(broken: int) -> None:
    registry = FakeRegistry(versions={"detector": 1})
    detector = detector_over(registry)
    detector.get()
    registry.versions["detector"] = broken
    detector.refresh()
    detector.refresh()
    assert detector.get().model == 1
    assert registry.loads == 2
    registry.versions["detector"] = 3
    detector.refresh()
    assert detector.get().model == 3


def test_a_version_of_another_release_is_refused_with_the_remedy() -> None:
    with pytest.raises(
        ModelUnavailableError, match="has format 1 and this release reads format 2; run `forewarn train"
    ):
        detector_over(FakeRegistry(versions={"detector": 667})).get()


def test_the_active_version_stays_when_the_alias_is_gone() -> None:
    registry = FakeRegistry(versions={"detector": 1})
    detector = detector_over(registry)
    detector.get()
    registry.versions.clear()
    detector.refresh()
    assert detector.get().model == 1


def test_a_missing_model_is_an_error_and_the_registry_is_not_asked_at_every_request() -> None:
    registry = FakeRegistry()
    detector = detector_over(registry)
    for _ in range(3):
        with pytest.raises(ModelUnavailableError, match="no champion"):
            detector.get()
    assert registry.loads == 1


def test_the_active_version_stays_when_the_registry_is_down() -> None:
    class Down(FakeRegistry):
        def resolve(self, kind: str, alias: str = "champion") -> Any:
            if self.loads:
                raise UnavailableError("the registry does not answer")
            return super().resolve(kind, alias)

    registry = FakeRegistry(versions={"detector": 1})
    detector = detector_over(registry)
    detector.get()
    registry.resolve = Down(versions={"detector": 1}, loads=1).resolve  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        detector.refresh()
    assert detector.get().model == 1


def test_only_models_that_were_requested_are_loaded() -> None:
    registry = FakeRegistry(versions={"detector": 1, "failure": 4})
    models = LoadedModels(registry, retry_s=60, load=lambda kind, files: FakeDetector({}))
    models.detector()
    models.refresh()
    assert list(models.in_use()) == ["detector"]


def test_a_detector_is_called_once_before_the_first_request() -> None:
    loaded = FakeDetector({7: None})
    models = LoadedModels(FakeRegistry(versions={"detector": 1}), retry_s=60, load=lambda kind, files: loaded)
    assert models.detector().model is loaded
    assert [(series_id, values) for series_id, _, values, _ in loaded.calls] == [(7, [0.0, None, 1.0])]


def test_the_forecasters_of_the_registered_bundle_are_served() -> None:
    forecasters = ForecasterBundle(ForecastParts(entries={}))
    files = BreachBundle(forecasters).to_files()
    models = LoadedModels(
        FakeRegistry(versions={"forecaster": 1}), retry_s=60, load=lambda kind, _: load_bundle(kind, files)
    )
    with pytest.raises(UnknownSeriesError):
        models.forecaster().model.entry(7)


def test_every_bundle_class_fulfils_the_protocol_of_its_job() -> None:
    detector: FleetDetector = DetectorBundle({}, {}, {}, ())
    forecaster: FleetForecaster = ForecasterBundle(ForecastParts(entries={}))
    failure: FailurePredictor = FailureBundle(
        FailureParts(
            names=("cpu",),
            horizons_s=(3_600,),
            boosters=(),
            calibrators=(),
            base=(0.1,),
            types=None,
            type_names=(),
            alert_horizon_s=3_600,
            alert_threshold=0.5,
        )
    )
    assert isinstance(detector, FleetDetector)
    assert isinstance(forecaster, FleetForecaster)
    assert isinstance(failure, FailurePredictor)


@pytest.mark.parametrize("kind", ["detector", "forecaster", "failure"])
def test_a_bundle_that_cannot_do_its_job_is_refused_by_name(kind: str) -> None:
    models = LoadedModels(FakeRegistry(versions={kind: 1}), retry_s=60, load=lambda kind, files: "a text")
    job = {"detector": models.detector, "forecaster": models.forecaster, "failure": models.failure}[kind]
    with pytest.raises(ModelUnavailableError, match=f"{kind} model is a str, which cannot serve"):
        job()
