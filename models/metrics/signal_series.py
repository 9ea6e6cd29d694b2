"""The series that a recipe gives: its service and the entity within it."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from core.domain import Series
from core.service_names import ServiceRule
from models.metrics.recipe import Recipe

#: The service of metrics that name none.
UNKNOWN = "unknown"
#: Job and instance: what Prometheus scrapes.
Target = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Names services.

    A host is a service of its own: `job="node"` names all hosts together, so it names none of them. Elsewhere the
    labels name the service, and the instance is an entity within it.

    Attributes:
        hosts: target -> name of the host.
    """

    tenant: str
    step_s: int
    services: ServiceRule = field(default_factory=ServiceRule)
    hosts: Mapping[Target, str] = field(default_factory=dict)

    def service_of(self, labels: Mapping[str, str]) -> str:
        """The host or service that labels name."""
        return self.hosts.get(target_of(labels)) or self.services.service_of(labels) or UNKNOWN

    def series(self, recipe: Recipe, labels: Mapping[str, str]) -> Series:
        """The series of a recipe with these labels.

        Raises:
            InputError: a label cannot be stored.
        """
        own = next((name for name in recipe.service if labels.get(name, "").strip()), None)
        host = None if own else self.hosts.get(target_of(labels))
        named = own or self.services.label_in(labels)
        service = labels[own].strip() if own else self.service_of(labels)
        dropped = {"__name__", named}
        # The job of a host names all hosts together, and that of a pod names the exporter.
        dropped |= {"job"} if host or own else set()
        return Series(
            tenant=self.tenant,
            service=service,
            metric=recipe.signal,
            labels={key: value for key, value in labels.items() if key not in dropped},
            unit=recipe.unit,
            kind=recipe.kind,
            role=recipe.role,
            limit=recipe.limit,
            slo_threshold=recipe.slo_threshold,
            step_s=self.step_s,
            direction=recipe.direction,
        )


def target_of(labels: Mapping[str, str]) -> Target:
    """Job and instance of a series."""
    return labels.get("job", ""), labels.get("instance", "")


def hosts_of(series: Iterable[Mapping[str, str]]) -> dict[Target, str]:
    """The hosts among targets.

    Args:
        series: labels of metrics that only hosts have; `nodename` where a metric tells it.
    Examples:
        >>> hosts_of([{"job": "node", "instance": "web1:9100"}])
        {('node', 'web1:9100'): 'web1'}
        >>> hosts_of([{"job": "node", "instance": "10.0.0.3:9100", "nodename": "db1"}])
        {('node', '10.0.0.3:9100'): 'db1'}
    """
    found: dict[Target, str] = {}
    for labels in series:
        target = target_of(labels)
        name = host_name(target[1])
        if is_address(name):
            name = labels.get("nodename", "") or found.get(target, name)
        if name:
            found[target] = name
    return found


def host_name(instance: str) -> str:
    """The host of `host:port`; an IPv6 address stands in brackets before its port.

    Examples:
        >>> [host_name(one) for one in ("web1:9100", "[fe80::1]:9100", "web1")]
        ['web1', 'fe80::1', 'web1']
    """
    if instance.startswith("["):
        return instance[1:].partition("]")[0]
    host, colon, port = instance.rpartition(":")
    return host if colon and port.isdigit() else instance


def is_address(host: str) -> bool:
    """Whether a host is named by an address that people cannot tell from others."""
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
