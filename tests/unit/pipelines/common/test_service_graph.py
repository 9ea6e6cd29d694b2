from pathlib import Path

import pytest

from core.domain import Series
from core.errors import ConfigurationError
from pipelines.common.service_graph import service_graph


def test_without_a_file_there_are_no_edges() -> None:
    assert service_graph(None, []) == ()


def test_edges_are_read_sorted_and_once(tmp_path: Path) -> None:
    file = tmp_path / "graph.json"
    file.write_text('{"web": ["checkout", "checkout"], "checkout": ["db"], "db": []}')
    assert service_graph(file, []) == (("checkout", "db"), ("web", "checkout"))


@pytest.mark.parametrize("text", ["", "[]", '{"a": "b"}', '{"a": [1]}'])
def test_a_file_that_is_no_graph_is_refused_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "graph.json"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"graph\.json must be"):
        service_graph(file, [])


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        service_graph(tmp_path / "none.json", [])


def test_series_tell_whom_their_service_calls(tmp_path: Path) -> None:
    file = tmp_path / "graph.json"
    file.write_text('{"web": ["checkout"]}')
    series = [
        Series(tenant="t", service="checkout", metric="rps", labels={"depends_on": "db, payments,"}),
        Series(tenant="t", service="db", metric="rps"),
    ]
    edges = (("checkout", "db"), ("checkout", "payments"), ("web", "checkout"))
    assert service_graph(file, series) == edges
