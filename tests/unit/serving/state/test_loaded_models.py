"""A newly promoted version takes over whole, and whatever goes wrong with it, the old one stays."""

from collections.abc import Mapping
from typing import Any

import pytest
from fakes.serving import FakeRegistry

from core.bundles import require_format
from core.domain import ModelRef
from core.errors import ModelUnavailableError, UnavailableError
from serving.state.loaded_models import LoadedModels


def version_of(kind: str, files: Mapping[str, bytes]) -> Any:
    if files["version"] == b"666":
        raise ValueError("not a bundle")
    if files["version"] == b"667":
        require_format(kind, {"format": 1}, 2)
    return int(files["version"])


def shelf_over(registry: FakeRegistry) -> LoadedModels:
    return LoadedModels(registry, retry_s=60, load=version_of)


def test_a_model_is_loaded_once_however_often_it_is_asked_for() -> None:
    registry = FakeRegistry(versions={"detector": 1})
    shelf = shelf_over(registry)
    assert [shelf.get("detector").bundle for _ in range(3)] == [1, 1, 1]
    assert registry.loads == 1


def test_a_promoted_version_answers_after_the_next_look() -> None:
    registry = FakeRegistry(versions={"detector": 1})
    shelf = shelf_over(registry)
    before = shelf.get("detector")
    registry.versions["detector"] = 2
    assert shelf.get("detector") is before
    shelf.refresh()
    assert (shelf.get("detector").bundle, shelf.get("detector").ref.version) == (2, 2)
    assert before.bundle == 1


@pytest.mark.parametrize("broken", [666, 667])
def test_a_version_that_cannot_be_built_leaves_the_old_one_and_is_tried_once(broken: int) -> None:
    registry = FakeRegistry(versions={"detector": 1})
    shelf = shelf_over(registry)
    shelf.get("detector")
    registry.versions["detector"] = broken
    shelf.refresh()
    shelf.refresh()
    assert shelf.get("detector").bundle == 1
    assert registry.loads == 2
    registry.versions["detector"] = 3
    shelf.refresh()
    assert shelf.get("detector").bundle == 3


def test_a_version_of_another_release_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        ModelUnavailableError,
        match="has format 1 and this release reads format 2; run `forewarn train detectors`",
    ):
        shelf_over(FakeRegistry(versions={"detector": 667})).get("detector")


def test_an_alias_that_is_gone_leaves_what_answers() -> None:
    registry = FakeRegistry(versions={"detector": 1})
    shelf = shelf_over(registry)
    shelf.get("detector")
    registry.versions.clear()
    shelf.refresh()
    assert shelf.get("detector").bundle == 1


def test_a_missing_model_is_said_and_not_looked_for_at_every_request() -> None:
    registry = FakeRegistry()
    shelf = shelf_over(registry)
    for _ in range(3):
        with pytest.raises(ModelUnavailableError, match="no champion"):
            shelf.get("detector")
    assert registry.loads == 1


def test_a_registry_that_is_down_does_not_touch_what_is_loaded() -> None:
    class Fallible(FakeRegistry):
        is_down = False

        def resolve(self, kind: str, alias: str = "champion") -> ModelRef | None:
            if self.is_down:
                raise UnavailableError("the registry does not answer")
            return super().resolve(kind, alias)

    registry = Fallible(versions={"detector": 1})
    shelf = shelf_over(registry)
    shelf.get("detector")
    registry.is_down = True
    with pytest.raises(UnavailableError):
        shelf.refresh()
    assert shelf.get("detector").bundle == 1


def test_only_kinds_that_were_asked_for_are_loaded() -> None:
    shelf = shelf_over(FakeRegistry(versions={"detector": 1, "failure": 4}))
    shelf.get("detector")
    shelf.refresh()
    assert list(shelf.in_use()) == ["detector"]
