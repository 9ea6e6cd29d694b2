"""The failure model is calibrated, never falls with the horizon, gives reasons that add up, and is cautious."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from any_float import FLOATS, many_examples
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.errors import InsufficientDataError, InvalidFrameError, ModelUnavailableError
from models.failure import FailureBundle, FitPlan, fit_failure
from models.failure.alarms import RELEASE_SHARE, alarm_leads, alarm_runs
from models.failure.balance import balancer
from models.failure.bundle import TIME_FROM_PROBABILITY
from models.failure.calibration import calibration_error, fit_calibrator, reliability
from models.failure.fit import FitReport
from models.failure.learning import margin, time_folds
from models.failure.measures import nasa_score, precision_at_recall
from models.words.failure import BASE_RATE, OTHER_FEATURES
from models.words.feature import describe_feature
from pipelines.plots.failure import failure_plots

NAMES = ("memory_level_15m", "memory_slope_3h", "hour_of_day")
START = datetime(2026, 3, 1, tzinfo=UTC)


def moments(failures: int, seed: int = 0) -> pl.DataFrame:
    """Services whose memory climbs for 10 h before each failure and idles otherwise; one moment every half hour."""
    rng = np.random.default_rng(seed)
    frames = []
    for service in range(4):
        steps = 40 * 48
        hours = np.arange(steps) / 2
        at = np.sort(rng.choice(np.arange(40, 930, 30), failures // 4, replace=False)).astype(float)
        rest = np.full(steps, np.inf)
        for one in at:
            before = hours < one
            rest[before] = np.minimum(rest[before], (one - hours)[before])
        climb = np.clip(1 - rest / 10, 0, 1)
        frames.append(
            pl.DataFrame(
                {
                    "service_id": [f"t/s{service}"] * steps,
                    "ts": [START + timedelta(hours=h) for h in hours.tolist()],
                    "memory_level_15m": 0.4 + 0.55 * climb + rng.normal(0, 0.03, steps),
                    "memory_slope_3h": np.where(climb > 0, 0.055, 0) + rng.normal(0, 0.01, steps),
                    "hour_of_day": hours % 24,
                    "usable": [True] * steps,
                    "failure_in_s": [None if np.isinf(r) else r * 3600 for r in rest.tolist()],
                    "next_type": [
                        None if np.isinf(r) else ("memory_leak" if service % 2 else "disk_full")
                        for r in rest.tolist()
                    ],
                    "known_s": (steps / 2 - hours) * 3600,
                },
                schema_overrides={"failure_in_s": pl.Float64, "ts": pl.Datetime("us", "UTC")},
            )
        )
    return pl.concat(frames)


@pytest.fixture(scope="module")
def fitted() -> tuple[FailureBundle, FitReport]:
    return fit_failure(moments(80), NAMES, FitPlan(seed=3, trials=3))


@pytest.fixture(scope="module")
def bundle(fitted: tuple[FailureBundle, FitReport]) -> FailureBundle:
    return fitted[0]


@pytest.fixture(scope="module")
def unseen() -> pl.DataFrame:
    return moments(80, seed=9)


def test_risks_are_found_and_calibrated(bundle: FailureBundle, unseen: pl.DataFrame) -> None:
    known = unseen.filter(pl.col("known_s") >= 3 * 3600)
    x = known.select(NAMES).to_numpy().astype(np.float32)
    happened = (known["failure_in_s"].fill_null(9e9).to_numpy() <= 3 * 3600).astype(float)
    predicted = bundle.probabilities(x)[:, 1]
    assert precision_at_recall(happened, predicted, 0.8) > 0.8
    assert calibration_error(predicted, happened) < 0.03


def test_files_of_another_format_are_refused(bundle: FailureBundle) -> None:
    files = bundle.to_files()
    old = json.dumps({**json.loads(files["meta.json"]), "format": 1}).encode()
    with pytest.raises(ModelUnavailableError, match="forewarn train failure"):
        FailureBundle.from_files({**files, "meta.json": old})


def test_probabilities_never_fall_with_the_horizon(bundle: FailureBundle, unseen: pl.DataFrame) -> None:
    probabilities = bundle.probabilities(unseen.select(NAMES).to_numpy().astype(np.float32))
    assert (np.diff(probabilities, axis=1) >= 0).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


def test_factors_add_up_to_the_margin_of_the_alert_horizon(
    bundle: FailureBundle, unseen: pl.DataFrame
) -> None:
    rows = unseen[200:205]
    index = bundle.parts.horizons_s.index(bundle.parts.alert_horizon_s)
    margins = margin(bundle.parts.boosters[index], rows.select(NAMES).to_numpy().astype(np.float32))
    for risk, predicted in zip(bundle.predict(rows), margins, strict=True):
        assert {OTHER_FEATURES, BASE_RATE} <= {factor.name for factor in risk.factors}
        assert sum(factor.contribution for factor in risk.factors) == pytest.approx(predicted, abs=1e-4)


def test_the_time_range_holds_as_often_as_it_claims(bundle: FailureBundle, unseen: pl.DataFrame) -> None:
    climbing = unseen.filter(pl.col("failure_in_s") <= 9 * 3600)
    inside = predicted = 0
    for row, risk in zip(climbing.iter_rows(named=True), bundle.predict(climbing), strict=True):
        if risk.when is not None:
            predicted += 1
            fails_at = row["ts"] + timedelta(seconds=row["failure_in_s"])
            inside += risk.when.p10 <= fails_at <= risk.when.p90
    assert predicted > 0.8 * climbing.height
    assert 0.65 < inside / predicted < 0.95


def test_a_time_is_predicted_only_where_a_failure_within_a_day_is_likely(
    bundle: FailureBundle, unseen: pl.DataFrame
) -> None:
    risks = bundle.predict(unseen[::40])
    likely = [risk.probability_by_horizon_s[86_400] >= TIME_FROM_PROBABILITY for risk in risks]
    assert [risk.when is not None for risk in risks] == likely
    assert True in likely


def test_files_bring_the_same_bundle_back(bundle: FailureBundle, unseen: pl.DataFrame) -> None:
    files = bundle.to_files()
    again = FailureBundle.from_files(files)
    assert again.predict(unseen[:50]) == bundle.predict(unseen[:50])
    assert again.to_files() == files
    assert all(name.endswith((".json", ".npz", ".ubj")) for name in files)


def test_the_same_data_and_seed_give_the_same_model(bundle: FailureBundle) -> None:
    again, _ = fit_failure(moments(80), NAMES, FitPlan(seed=3, trials=3))
    assert again.to_files() == bundle.to_files()


def test_one_row_and_many_rows_get_the_same_prediction(bundle: FailureBundle, unseen: pl.DataFrame) -> None:
    many = bundle.predict(unseen[:100])
    for row in (0, 57, 99):
        one = bundle.predict(unseen[row : row + 1])[0]
        for horizon, probability in one.probability_by_horizon_s.items():
            assert probability == pytest.approx(many[row].probability_by_horizon_s[horizon], abs=1e-5)


def test_missing_features_are_accepted(bundle: FailureBundle) -> None:
    rows = pl.DataFrame({name: [None] for name in NAMES}, schema=dict.fromkeys(NAMES, pl.Float64))
    assert bundle.predict(rows)[0].factors


def test_a_missing_column_is_named(bundle: FailureBundle) -> None:
    with pytest.raises(InvalidFrameError, match="memory_slope_3h"):
        bundle.predict(pl.DataFrame({"memory_level_15m": [0.5], "hour_of_day": [1.0]}))


def test_with_a_handful_of_failures_only_their_rate_is_predicted() -> None:
    poor, report = fit_failure(moments(8), NAMES, FitPlan(seed=3))
    risks = poor.predict(moments(8)[300:340])
    assert not poor.parts.boosters
    assert "8 failures" in report.notes[0]
    assert len({tuple(risk.probability_by_horizon_s.values()) for risk in risks}) == 1
    assert all(0 < p < 0.3 for p in risks[0].probability_by_horizon_s.values())
    assert FailureBundle.from_files(poor.to_files()).predict(moments(8)[:3]) == poor.predict(moments(8)[:3])


def test_few_failures_are_never_a_confident_number() -> None:
    few, report = fit_failure(moments(24), NAMES, FitPlan(seed=3, trials=1, budget_per_week=0.5))
    rich, _ = fit_failure(moments(80), NAMES, FitPlan(seed=3, trials=1))
    x = np.array([[0.93, 0.055, 12.0]], dtype=np.float32)
    assert few.probabilities(x).max() < rich.probabilities(x).max()
    assert few.parts.notes == report.notes != ()
    # Drawn towards the rate, but not so that no alarm could ever rise.
    assert (
        few.probabilities(x)[0, few.parts.horizons_s.index(few.parts.alert_horizon_s)]
        >= few.parts.alert_threshold
    )


def test_without_usable_moments_an_error_is_raised() -> None:
    with pytest.raises(InsufficientDataError):
        fit_failure(moments(8).with_columns(usable=False), NAMES, FitPlan(seed=3))


def test_the_choice_of_balance_is_recorded(fitted: tuple[FailureBundle, FitReport]) -> None:
    _, report = fitted
    assert {trial.candidate.balance for trial in report.trials} == {"none", "weights", "smote"}
    found = {str(trial.candidate.balance): trial.average_precision for trial in report.trials}
    assert found[str(report.params["balance"])] > max(found.values()) - 0.1
    assert report.trials[0].average_precision == max(trial.average_precision for trial in report.trials)


def test_smote_makes_rows_between_the_rare_ones() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3)).astype(np.float32)
    x[3, 1] = np.nan
    y = np.zeros(500)
    y[:12] = 1
    made, weight = balancer("smote", 0)(x, y)
    assert weight is None
    assert len(made) > 40
    failures = x[y > 0]
    between = (np.nanmin(failures, axis=0) - 0.01 <= made) & (made <= np.nanmax(failures, axis=0) + 0.01)
    assert between[:, [0, 2]].all()


def test_smote_leaves_a_feature_that_no_row_has_unknown_and_says_nothing() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3)).astype(np.float32)
    y = np.zeros(500)
    y[:12] = 1
    made, _ = balancer("smote", 0)(x, y)
    x[:, 1] = np.nan
    without, _ = balancer("smote", 0)(x, y)
    assert without.shape == made.shape
    assert np.isfinite(without[:, [0, 2]]).all()


def test_folds_of_time_keep_their_distance() -> None:
    ts = np.arange(1000, dtype=np.float64)
    folds = time_folds(ts, 4, 50)
    for learn, hold in zip(folds.learn, folds.hold, strict=True):
        assert np.abs(ts[learn][:, None] - ts[hold][None, :]).min() > 50
    assert np.array_equal(sum(hold.astype(int) for hold in folds.hold), np.ones(1000))


def test_calibration_is_measured_by_bin() -> None:
    predicted = np.array([0.1, 0.1, 0.9, 0.9])
    assert calibration_error(predicted, np.array([0.0, 0.0, 1.0, 1.0])) == pytest.approx(0.1)
    assert reliability(predicted, np.array([0.0, 0.0, 1.0, 1.0])).tolist() == [
        [0.1, 0.0, 2.0],
        [0.9, 1.0, 2.0],
    ]


def test_a_calibrator_never_falls_and_is_never_certain() -> None:
    rng = np.random.default_rng(1)
    margins = rng.normal(size=400)
    calibrate = fit_calibrator(margins, (margins + rng.normal(0, 0.1, 400) > 0).astype(float))
    grid = calibrate(np.linspace(-5, 5, 200))
    assert (np.diff(grid) >= 0).all()
    assert grid[0] > 0.0
    assert grid[-1] < 1.0


def test_an_alarm_holds_until_the_risk_has_clearly_fallen() -> None:
    assert alarm_runs(np.array([0.5, 0.9, 0.6, 0.5, 0.47, 0.9]), 0.8).tolist() == [-1, 0, 0, 0, -1, 1]
    assert 0.47 < RELEASE_SHARE * 0.8 < 0.5


def test_the_lead_counts_from_the_alarm_that_lasts_until_the_failure() -> None:
    frame = pl.DataFrame(
        {
            "service_id": ["t/a"] * 6,
            "ts": [START + timedelta(hours=h) for h in range(6)],
            "failure_in_s": [3600.0 * (6 - h) for h in range(6)],
            "next_type": ["disk_full"] * 6,
        }
    ).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
    leads = alarm_leads(frame, np.array([0.9, 0.1, 0.1, 0.9, 0.8, 0.9]), 0.8)
    assert leads["lead_h"].to_list() == [3.0]


def test_late_predictions_cost_more_than_early_ones() -> None:
    truth = np.array([50.0])
    assert nasa_score(truth + 10, truth) > nasa_score(truth - 10, truth) > 0
    assert nasa_score(truth, truth) == 0


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("memory_slope_6h", 0.021, "memory grows 2.1 % of its limit per hour over the last 6 h"),
        (
            "disk_hours_to_limit_3h",
            4.25,
            "disk reaches its limit in 4 h 20 min if it continues as in the last 3 h",
        ),
        (
            "disk_hours_to_limit_3h",
            48.0,
            "disk does not reach its limit soon if it continues as in the last 3 h",
        ),
        (
            "queue_deviation",
            -3.0,
            "queue is 3.0 times the usual variation below its usual value at this time of day",
        ),
        ("hours_since_deploy", 1.5, "last deploy 1.5 h ago"),
        ("hours_since_deploy", 336.0, "no deploy known"),
        ("memory_times_usual_slope", 8.0, "memory changes 8.0 times as fast as usual"),
        ("day_of_week", 2.0, "day of week Tuesday"),
        ("memory_level_15m", float("nan"), "memory_level_15m is not known"),
        ("something", 0.5, "something is 0.5"),
    ],
)
def test_a_feature_is_described_in_words_with_numbers(name: str, value: float, text: str) -> None:
    assert describe_feature(name, value) == text


def test_calibration_keeps_different_margins_different() -> None:
    rng = np.random.default_rng(3)
    margins = np.sort(rng.normal(size=2000))
    happened = (rng.random(2000) < 1 / (1 + np.exp(2 - 2 * margins))).astype(float)
    predicted = fit_calibrator(margins, happened)(np.concatenate([[-9.0], margins, [9.0]]))
    assert (np.diff(predicted) > 0).all()
    assert predicted[0] > 0
    assert predicted[-1] < 1
    assert predicted[1:-1].mean() == pytest.approx(happened.mean(), abs=0.01)


def test_one_failure_among_the_lowest_moments_does_not_raise_the_risk_of_all_others() -> None:
    rng = np.random.default_rng(3)
    margins = np.sort(rng.normal(-6, 2, 5000))
    happened = (rng.random(5000) < 1 / (1 + np.exp(-margins))).astype(float)
    happened[:3], happened[3] = 0.0, 1.0
    predicted = fit_calibrator(margins, happened)(margins)
    assert predicted.mean() == pytest.approx(happened.mean(), rel=0.1)
    assert calibration_error(predicted, happened) < 0.005
    assert predicted[0] > 0


def test_few_moments_give_cautious_probabilities() -> None:
    predicted = fit_calibrator(np.arange(6, dtype=np.float64), np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]))(
        np.array([0.0, 5.0])
    )
    assert predicted == pytest.approx([0.5 / 4, 3.5 / 4], rel=0.01)


@given(rows=arrays(np.float64, (3, len(NAMES)), elements=FLOATS | st.sampled_from([np.nan, np.inf, -np.inf])))
@many_examples(60)
def test_any_float_gets_a_risk_with_reasons(bundle: FailureBundle, rows: Any) -> None:
    frame = pl.DataFrame(rows, schema=list(NAMES), orient="row").with_columns(ts=pl.lit(START))
    for risk in bundle.predict(frame):
        probabilities = list(risk.probability_by_horizon_s.values())
        assert probabilities == sorted(probabilities)
        assert 0 <= probabilities[0] <= probabilities[-1] <= 1
        for factor in risk.factors:
            assert np.isfinite(factor.contribution)
            assert factor.value is None or np.isfinite(factor.value)
            assert "inf" not in factor.text


@pytest.mark.parametrize(("value", "share"), [(1e300, 3), (-np.inf, 3), (5e-324, 1), (np.nan, 1)])
def test_any_float_is_plotted(bundle: FailureBundle, unseen: pl.DataFrame, value: float, share: int) -> None:
    some = pl.when(pl.int_range(pl.len()) % share == 0).then(value).otherwise(pl.col("memory_level_15m"))
    assert len(failure_plots(bundle, unseen[:60].with_columns(memory_level_15m=some))) == 4
