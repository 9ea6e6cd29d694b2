"""JSON that every reader accepts, whatever the numbers are."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from any_float import AWKWARD
from hypothesis import given
from hypothesis import strategies as st

from core.json_text import json_text

NUMBERS = st.sampled_from([*AWKWARD, math.nan, math.inf, -math.inf]) | st.floats()
REPORTS = st.recursive(
    NUMBERS | NUMBERS.map(np.float64) | st.integers() | st.text() | st.none() | st.booleans(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(), parts, max_size=3),
    max_leaves=12,
)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@given(report=REPORTS, indent=st.sampled_from([None, 2]))
def test_any_report_is_json_and_keeps_every_finite_number(report: Any, indent: int | None) -> None:
    assert json.loads(json_text(report, indent=indent), parse_constant=refuse) == without_nan(report)


@dataclass(frozen=True)
class Report:
    at: datetime
    figures: dict[str, float]


@pytest.mark.parametrize(("figure", "text"), [(math.nan, "null"), (-0.0, "-0.0"), (5e-324, "5e-324")])
def test_a_figure_that_could_not_be_measured_is_null(figure: float, text: str) -> None:
    written = json_text(Report(datetime(2026, 3, 1, tzinfo=UTC), {"recall": figure}), indent=None)
    assert written == f'{{"at": "2026-03-01T00:00:00Z", "figures": {{"recall": {text}}}}}'
