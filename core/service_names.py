"""The rule that derives the service of a metric, an alert, a deploy or a trace from its labels. The only one.

Sources of metrics and receivers of webhooks use the same rule, so that an incident belongs to the service whose
metrics showed it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

#: Labels that may name the service; the first one that has a value counts. Names of OpenTelemetry come first because
#: they always name a service. `job` and `instance` name what Prometheus scrapes, so they come last.
SERVICE_LABELS = ("service_name", "service", "app_kubernetes_io_name", "app", "job", "instance")


@dataclass(frozen=True, slots=True)
class ServiceRule:
    """Derives the service from labels.

    Attributes:
        labels: names of labels, the most important first. `service.name` and `service_name` are the same name, because
            Prometheus writes an underscore for each character that it does not allow in a label.
    """

    labels: Sequence[str] = SERVICE_LABELS

    @property
    def prometheus_labels(self) -> tuple[str, ...]:
        """The labels as Prometheus writes them."""
        return tuple(dict.fromkeys(_as_label(name) for name in self.labels))

    def label_in(self, labels: Mapping[str, str]) -> str | None:
        """The name of the label that names the service; null when no label does.

        Examples:
            >>> rule = ServiceRule()
            >>> rule.label_in({"job": "node", "service.name": "checkout"})
            'service.name'
            >>> rule.label_in({"job": " ", "pod": "checkout-1"}) is None
            True
        """
        given_as: dict[str, str] = {}
        # in this order, two spellings of one name give the same service in whatever order they come
        for given in sorted(labels):
            if labels[given].strip():
                given_as.setdefault(_as_label(given), given)
        for name in self.labels:
            if labels.get(name, "").strip():
                return name
            if (label := _as_label(name)) in given_as:
                return given_as[label]
        return None

    def service_of(self, labels: Mapping[str, str]) -> str | None:
        """The service that the labels name; null when none of them does.

        Examples:
            >>> ServiceRule().service_of({"job": "kubernetes-pods", "app.kubernetes.io/name": "checkout"})
            'checkout'
        """
        label = self.label_in(labels)
        return None if label is None else labels[label].strip()


@lru_cache(maxsize=10_000)
def _as_label(name: str) -> str:
    """The name as Prometheus writes it: `service.name` is `service_name`."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def service_id(tenant: str, service: str) -> str:
    """The join key of a service in the feature store.

    Examples:
        >>> service_id("acme", "checkout")
        'acme/checkout'
    """
    return f"{tenant}/{service}"
