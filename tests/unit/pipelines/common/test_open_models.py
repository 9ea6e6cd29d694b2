"""Models that stay open: read once for each version, and the registry decides which version that is."""

from collections.abc import Collection, Mapping

import pytest
from fakes.ports import NoRegistry

from core.domain import ModelRef
from core.errors import ModelUnavailableError
from pipelines.common.open_models import OpenModels


class Versions(NoRegistry):
    """Alias -> version; the file of a version has its number, and `loads` counts."""

    def __init__(self, **aliases: int) -> None:
        self.aliases = aliases
        self.loads = 0

    def resolve(self, kind: str, alias: str = "champion") -> ModelRef | None:
        version = self.aliases.get(alias)
        return None if version is None else ModelRef(name=f"acme.{kind}", version=version, run_id="")

    def load(
        self, kind: str, alias: str = "champion", names: Collection[str] = ()
    ) -> tuple[ModelRef, Mapping[str, bytes]]:
        ref = self.resolve(kind, alias)
        if ref is None:
            raise ModelUnavailableError(f"no {alias} of kind {kind!r} is registered")
        self.loads += 1
        return ref, {} if names and "version" not in names else {"version": str(ref.version).encode()}


def read(files: Mapping[str, bytes]) -> list[bytes]:
    return [files["version"]]


def test_a_part_of_a_version_is_kept_beside_the_whole() -> None:
    registry = Versions(champion=1)
    models = OpenModels(registry)

    def size(files: Mapping[str, bytes]) -> int:
        return len(files)

    for _ in range(2):
        assert models.get("detector", read)[1] == [b"1"]
        assert models.get("detector", size, names=("other",))[1] == 0
    assert registry.loads == 2


def test_a_version_is_read_once_and_a_promoted_one_replaces_it() -> None:
    registry = Versions(champion=1)
    models = OpenModels(registry)
    first, again = models.get("detector", read), models.get("detector", read)
    assert first == again == (registry.resolve("detector"), [b"1"])
    assert first[1] is again[1]
    registry.aliases["champion"] = 2
    assert models.get("detector", read)[1] == [b"2"]
    assert registry.loads == 2


def test_kinds_and_aliases_have_models_of_their_own() -> None:
    models = OpenModels(Versions(champion=1, challenger=2))
    assert models.get("detector", read)[0].name != models.get("forecaster", read)[0].name
    assert models.get("detector", read, "challenger")[1] == [b"2"]
    assert models.get("detector", read)[1] == [b"1"]


def test_the_challenger_serves_until_a_version_is_promoted() -> None:
    registry = Versions(challenger=1)
    models = OpenModels(registry)
    with pytest.raises(ModelUnavailableError, match="champion"):
        models.get("forecaster", read)
    assert models.get_newest("forecaster", read)[1] == [b"1"]
    registry.aliases["champion"] = 3
    assert models.get_newest("forecaster", read)[1] == [b"3"]


def test_a_version_that_cannot_be_read_is_tried_again() -> None:
    def broken(files: Mapping[str, bytes]) -> list[bytes]:
        raise ModelUnavailableError("another format")

    models = OpenModels(Versions(champion=1))
    with pytest.raises(ModelUnavailableError, match="another format"):
        models.get("detector", broken)
    assert models.get("detector", read)[1] == [b"1"]
