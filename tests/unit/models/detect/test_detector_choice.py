"""Any detector of the catalog can score a fleet, alone or with others, and is stored in the same way."""

import io
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import polars.testing
import pytest
from fakes.two_series import SERIES, START, course

import models.detect.detectors
from core.errors import ConfigurationError, ModelUnavailableError
from core.frames import EXCLUSIONS
from core.settings import Settings
from models.detect.bundle import DetectorBundle, DetectorOptions
from models.detect.catalog import DEFAULT_DETECTORS, detector_classes, select_detectors
from models.detect.files import META, read_fleet
from pipelines.learn.train_detectors import detector_options

DAYS = 20
SPIKE = 24 * DAYS + 30
FORMAT_3 = Path(__file__).parent / "format_3"
#: A detector as a contributor writes it: one file, with nothing but the contract.
TOY = """
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FittedToy:
    middle: np.ndarray

    def score(self, values):
        return np.abs(values - self.middle[0])

    def update(self, values):
        return self

    def to_arrays(self):
        return {"middle": self.middle}


@dataclass(frozen=True)
class Toy:
    name = "toy"
    min_points = 12

    def fit(self, values):
        return FittedToy(np.array([np.nanmedian(values)]))

    def from_arrays(self, arrays):
        return FittedToy(arrays["middle"])
"""


def fitted(*names: str) -> DetectorBundle:
    options = DetectorOptions(detectors=names, seed=3)
    return DetectorBundle.fit(
        course(0, DAYS, 1), SERIES, pl.DataFrame(schema=dict(EXCLUSIONS)), options=options
    )


def with_spike() -> pl.DataFrame:
    """Two days after the history; for eight hours the first series is far out."""
    after = course(DAYS, 2, 50)
    first = START + timedelta(hours=SPIKE)
    inside = pl.col("ts").is_between(first, first + timedelta(hours=7))
    here = (pl.col("series_id") == SERIES[0].series_id) & inside
    return after.with_columns(pl.when(here).then(400.0).otherwise("value").alias("value"))


def assert_finds_the_spike(bundle: DetectorBundle, name: str) -> None:
    scored = bundle.score(with_spike())
    assert scored["p_value"].null_count() < scored.height / 2
    mine = scored.filter(pl.col("series_id") == SERIES[0].series_id).sort("ts")
    before = mine.filter(pl.col("ts") < START + timedelta(hours=SPIKE))
    since = mine.filter(pl.col("ts") >= START + timedelta(hours=SPIKE))
    for column in ("p_value", name):
        lowest, usual = since[column].min(), before[column].median()
        assert isinstance(lowest, float)
        assert isinstance(usual, float)
        assert lowest < min(0.02, 0.1 * usual), column


def test_the_default_set_is_declared_by_name_and_can_be_selected_by_an_empty_setting() -> None:
    assert select_detectors(()) == DEFAULT_DETECTORS
    assert DEFAULT_DETECTORS == ("zscore", "mad", "ewma", "isolation_forest", "stream")
    assert detector_options(Settings(_env_file=None)).detectors == DEFAULT_DETECTORS


@pytest.mark.parametrize("name", detector_classes())
def test_each_detector_alone_scores_a_fleet_and_survives_its_files(name: str) -> None:
    bundle = fitted(name)
    assert bundle.names == (name,)
    assert set(bundle.models) == {one.series_id for one in SERIES}
    assert_finds_the_spike(bundle, name)
    files = bundle.to_files()
    again = DetectorBundle.from_files(files)
    assert again.names == (name,)
    assert again.score(with_spike()).equals(bundle.score(with_spike()))
    assert again.to_files() == files
    moment = START + timedelta(days=DAYS)
    [point] = again.score_points(SERIES[0].series_id, [moment], [400.0])
    assert [one.detector for one in point.detectors] == [name, "ensemble"]
    assert point.score is not None


def test_all_detectors_together_score_a_fleet() -> None:
    names = tuple(detector_classes())
    bundle = fitted(*names)
    assert bundle.score(with_spike()).columns[-len(names) :] == list(names)
    assert_finds_the_spike(bundle, "stream")


def test_the_setting_selects_detectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_DETECTORS", '["pca", "mad"]')
    assert detector_options(Settings(_env_file=None)).detectors == ("pca", "mad")


def test_an_unknown_detector_is_refused_with_the_list_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_DETECTORS", '["mad", "madd"]')
    with pytest.raises(ConfigurationError, match=r"no detector madd; .* dbscan, ewma, .* stream, .*zscore"):
        detector_options(Settings(_env_file=None))
    with pytest.raises(ConfigurationError, match="madd"):
        fitted("madd")
    with pytest.raises(ConfigurationError, match="twice"):
        fitted("mad", "mad")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A detector that is one new file in the package of detectors."""
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.setattr(
        models.detect.detectors, "__path__", [*models.detect.detectors.__path__, str(tmp_path)]
    )
    detector_classes.cache_clear()
    yield "toy"
    monkeypatch.undo()
    detector_classes.cache_clear()


def test_a_new_detector_is_one_file(toy: str) -> None:
    bundle = fitted(toy, "stream")
    assert_finds_the_spike(bundle, toy)
    again = DetectorBundle.from_files(bundle.to_files())
    assert again.score(with_spike()).equals(bundle.score(with_spike()))


def test_a_bundle_with_a_detector_that_is_not_installed_says_how_to_go_on(
    toy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = fitted(toy).to_files()
    monkeypatch.undo()
    detector_classes.cache_clear()
    with pytest.raises(ModelUnavailableError, match=r"toy; install them, or run `forewarn train detectors`"):
        DetectorBundle.from_files(files)


def test_a_bundle_of_the_release_before_scores_as_one_fitted_now() -> None:
    files = {name: (FORMAT_3 / name).read_bytes() for name in ("bundle.json", "arrays.npz")}
    old = DetectorBundle.from_files(files)
    new = DetectorBundle.fit(
        course(0, 4, 1), SERIES, pl.DataFrame(schema=dict(EXCLUSIONS)), options=DetectorOptions(seed=3)
    )
    after = course(4, 2, 50)
    assert old.names == new.names
    assert old.budgets == new.budgets
    pl.testing.assert_frame_equal(old.score(after), new.score(after), rel_tol=1e-9)


def as_format_4(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The same bundle as the release before stored it."""
    meta = json.loads(files["bundle.json"])
    with np.load(io.BytesIO(files["arrays.npz"])) as stored:
        arrays = dict(stored)
    arrays["randomness_z"] = np.array([one.pop("randomness_z") for one in meta["series"]])
    for one in meta["series"]:
        del one["days"]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    old = json.dumps({**meta, "format": 4}).encode()
    return {"bundle.json": old, "arrays.npz": buffer.getvalue()}


def test_format_4_is_read() -> None:
    files = fitted("zscore", "stream").to_files()
    assert DetectorBundle.from_files(as_format_4(files)).to_files() == files


def test_the_fleet_is_read_without_the_detectors() -> None:
    bundle = fitted("zscore", "stream")
    files = bundle.to_files()
    # By their texts, because a series of few days has NaN, which equals nothing.
    assert repr(read_fleet({META: files[META]})) == repr(bundle.fleet)
    assert read_fleet(as_format_4(files)) is None, "there it is in the arrays"


def test_another_format_is_refused_with_the_command_that_helps() -> None:
    files = {name: (FORMAT_3 / name).read_bytes() for name in ("bundle.json", "arrays.npz")}
    files["bundle.json"] = files["bundle.json"].replace(b'"format": 3', b'"format": 2')
    with pytest.raises(ModelUnavailableError, match="forewarn train detectors"):
        DetectorBundle.from_files(files)
