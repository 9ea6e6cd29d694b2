"""The cost model predicts the figures that the page about scale says were measured."""

import re

import pytest
from cost_model import needs
from data_sets import ROOT

#: Of the machine that was measured.
CORES = 2
ROW = re.compile(r"^\| ([\d,]+) \| ([A-Za-z ]+) \| ([\d.,]+) \| ([\d.,]+) \|$", re.MULTILINE)
PAGE = (ROOT / "docs" / "scale.md").read_text()


def number(text: str) -> float:
    return float(text.replace(",", ""))


@pytest.mark.parametrize("row", ROW.findall(PAGE), ids=lambda row: " ".join(row[:2]))
def test_the_model_is_within_a_fifth_of_what_was_measured(row: tuple[str, str, str, str]) -> None:
    series, what, measured, predicted = row
    found = needs(int(number(series)))
    computed = {
        "core seconds of a cycle": found.cycle_s,
        "core seconds with new forecasts": found.hourly_s,
        "MiB of the process": found.process_mib,
        "MiB of a worker": found.worker_mib,
        "seconds of weekly training": found.training_s / CORES,
    }[what]
    assert number(predicted) == pytest.approx(computed, rel=0.05)
    assert number(predicted) == pytest.approx(number(measured), rel=0.2)


def test_the_page_compares_at_least_three_sizes() -> None:
    assert len({row[0] for row in ROW.findall(PAGE)}) >= 3
