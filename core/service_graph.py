"""The part of the service graph that the series declare themselves."""

from core.domain import Series

#: This label lists the services that the service of a series calls, separated by commas.
DEPENDS_ON = "depends_on"


def called_services(series: Series) -> frozenset[str]:
    """The services that the service of this series calls, by its label `depends_on`.

    Examples:
        >>> sorted(called_services(Series(tenant="t", service="a", metric="m", labels={"depends_on": "b, c"})))
        ['b', 'c']
    """
    names = (name.strip() for name in series.labels.get(DEPENDS_ON, "").split(","))
    return frozenset(name for name in names if name)
