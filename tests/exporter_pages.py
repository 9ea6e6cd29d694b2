"""The pages of exporters in tests/cases/exporters, one for each file of recipes."""

import re
from collections.abc import Mapping, Sequence

from data_sets import ROOT
from prometheus_client.parser import text_string_to_metric_families

PAGES = ROOT / "tests" / "cases" / "exporters"
RECIPES = ROOT / "models" / "metrics" / "recipes"


def samples_of(name: str) -> Mapping[str, Sequence[Mapping[str, str]]]:
    """Metric -> the labels of its series on the page of an exporter."""
    # Without their types, the parser does not rename counters that lack the ending of OpenMetrics.
    text = re.sub(r"(?m)^#.*\n", "", (PAGES / f"{name}.prom").read_text())
    found: dict[str, list[Mapping[str, str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found
