"""Formulas are read, refused and computed as Prometheus would."""

import numpy as np
import pytest

from core.errors import InputError
from models.metrics.formula import WINDOW, compute, names_in, parse_formula, to_promql


@pytest.mark.parametrize(
    ("formula", "promql"),
    [
        ("used", "U"),
        ("clamp(1 - used / all)", "clamp((1 - (U / (A != 0))), 0, 1)"),
        ("(used - now) / 86400", "((U - time()) / 86400)"),
        ("used / max(all, 0.5)", "(U / clamp_min(A, 0.5))"),
        ("used / max(all, 20 / window)", "(U / clamp_min(A, (20 / 300)))"),
        ("(used - all) / (used + all)", "((U - A) / ((U + A) != 0))"),
        ("-used * 2 + all", "(((-U) * 2) + A)"),
    ],
)
def test_a_formula_becomes_promql(formula: str, promql: str) -> None:
    tree = parse_formula(formula)
    assert to_promql(tree, {"used": "U", "all": "A", WINDOW: "300"}) == promql
    assert names_in(tree) <= {"used", "all"}


@pytest.mark.parametrize(
    "formula",
    [
        "",
        "used +",
        "used ** 2",
        "used[0]",
        "open('x')",
        "clamp(used, 2)",
        "max(used)",
        "max(used, all)",
        "max(used, 20 / all)",
        "'a'",
        "True",
        "a if b else c",
    ],
)
def test_what_is_no_formula_is_refused(formula: str) -> None:
    with pytest.raises(InputError, match="is no formula"):
        parse_formula(formula)


def test_a_formula_is_computed_as_prometheus_computes_it() -> None:
    tree = parse_formula("clamp(1 - free / size)")
    found = compute(tree, {"free": np.array([1.0, 0.0, 0.0, 3.0]), "size": np.array([4.0, 2.0, 0.0, 2.0])})
    np.testing.assert_array_equal(found, [0.75, 1.0, np.nan, 0.0])
    latency = compute(parse_formula("x / y"), {"x": np.array([1.0, -1.0]), "y": np.array([0.0, -0.0])})
    assert np.isnan(latency).all()  # not infinite: nothing was counted that could have taken time
    seconds = compute(parse_formula("(end - now) / 60"), {"end": np.array([120.0]), "now": np.array([60.0])})
    assert seconds.tolist() == [1.0]
