"""The service graph: which service calls which.

It is read from a JSON file such as `{"checkout": ["payments", "orders-db"]}`, and from the label `depends_on` of
the series, which lists the services that the service of the series calls. Calls that traces and metrics show are added.
"""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from core.domain import Series, ServiceEdges
from core.errors import ConfigurationError
from core.service_graph import called_services
from pipelines.common.tenant_platform import Platform

#: A call that no trace and no metric has shown for so long is no edge any more.
EDGE_LIFETIME = timedelta(days=30)
_GRAPH = TypeAdapter(dict[str, list[str]])


def graph_of(platform: Platform, series: Iterable[Series]) -> ServiceEdges:
    """The service graph of a tenant.

    Args:
        series: all series of the tenant.
    Raises:
        ConfigurationError: as `service_graph`.
    """
    observed = platform.store.service_edges.since(platform.clock.now() - EDGE_LIFETIME)
    return service_graph(platform.settings.service_graph, series, observed)


def service_graph(path: Path | None, series: Iterable[Series], observed: ServiceEdges = ()) -> ServiceEdges:
    """(caller, callee) pairs, sorted, each once.

    Args:
        path: of a JSON file of declared edges.
        series: their label `depends_on` declares edges.
        observed: edges that traces and metrics show. An observed edge whose reverse is declared is left out.
    Raises:
        ConfigurationError: the file is not there, or is not an object of lists of names.
    """
    declared = {(one.service, callee) for one in series for callee in called_services(one)} | _from_file(path)
    return tuple(sorted(declared | {edge for edge in observed if edge[::-1] not in declared}))


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
