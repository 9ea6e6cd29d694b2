"""The service graph: which service calls which.

It is read from a JSON file such as `{"checkout": ["payments", "orders-db"]}`, and from the label `depends_on` of
the series, which lists the services that the service of the series calls.
"""

from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from core.domain import Series, ServiceEdges
from core.errors import ConfigurationError
from core.service_graph import called_services

_GRAPH = TypeAdapter(dict[str, list[str]])


def service_graph(path: Path | None, series: Iterable[Series]) -> ServiceEdges:
    """(caller, callee) pairs, sorted, each once.

    Raises:
        ConfigurationError: the file is not there, or is not an object of lists of names.
    """
    declared = {(one.service, callee) for one in series for callee in called_services(one)}
    return tuple(sorted(declared | _from_file(path)))


def _from_file(path: Path | None) -> set[tuple[str, str]]:
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
