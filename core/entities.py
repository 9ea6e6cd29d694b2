"""The entity within a service that a series is about: the mount point, queue, pod or instance that its labels name."""

from collections.abc import Mapping

from core.domain import Series

#: Labels that name no entity: what scrapes, where the service runs, and what it calls.
_NO_ENTITY = frozenset({"job", "cluster", "namespace", "le", "quantile", "mode", "depends_on"})
#: So many labels name an entity at most; a text with more is not read.
MOST = 3


def entity_of(service: str, labels: Mapping[str, str]) -> str:
    """What people call the entity; empty: the series is about the whole service.

    The instance counts only where no other label names the entity, and where it is not the service itself.

    Examples:
        >>> entity_of("web1", {"instance": "web1:9100", "mountpoint": "/var"})
        '/var'
        >>> entity_of("web1", {"instance": "web1:9100"}), entity_of("postgres", {"instance": "db1:9187"})
        ('', 'db1:9187')
    """
    named = [
        labels[name]
        for name in sorted(labels)
        if name not in _NO_ENTITY and name != "instance" and labels[name]
    ]
    if named:
        return " ".join(named[:MOST])
    instance = labels.get("instance", "")
    return "" if instance.partition(":")[0] in ("", service) or instance == service else instance


def named_with_entity(service: str, labels: Mapping[str, str]) -> str:
    """Service and entity: `web1 /var`."""
    entity = entity_of(service, labels)
    return f"{service} {entity}" if entity else service


def title_of(series: Series) -> str:
    """A series as texts name it, short enough to be read at night: `web1 /var filesystem_used_ratio`."""
    return f"{named_with_entity(series.service, series.labels)} {series.metric}"
