"""Who calls whom: from a file that people write, and from what the series themselves tell.

The file is `{"checkout": ["payments", "orders-db"]}`; a series may have the label `depends_on`, with the names
of the services that its service calls, between commas.
"""

from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from core.domain import Series
from core.errors import ConfigurationError

Edges = tuple[tuple[str, str], ...]

LABEL = "depends_on"
_GRAPH = TypeAdapter(dict[str, list[str]])


def service_graph(path: Path | None, series: Iterable[Series]) -> Edges:
    """(caller, callee) pairs, sorted, each once.

    Raises:
        ConfigurationError: the file is not there, or is not an object of lists of names.
    """
    told = {
        (one.service, callee.strip())
        for one in series
        for callee in one.labels.get(LABEL, "").split(",")
        if callee.strip()
    }
    return tuple(sorted(told | _written(path)))


def _written(path: Path | None) -> set[tuple[str, str]]:
    if path is None:
        return set()
    try:
        graph = _GRAPH.validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise ConfigurationError(f"the service graph {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigurationError(
            f"the service graph {path} must be a JSON object of lists of service names"
        ) from error
    return {(caller, callee) for caller, callees in graph.items() for callee in callees}
