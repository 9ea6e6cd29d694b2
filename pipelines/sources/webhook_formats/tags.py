"""Tags of the form `name:value`, as labels."""

from collections.abc import Iterable


def labels_of(tags: Iterable[str], mark: str = ":") -> dict[str, str]:
    """Name -> value of the tags that have both; of equal names the first one counts.

    Examples:
        >>> labels_of(["service:checkout", "urgent", "env: prod"])
        {'service': 'checkout', 'env': 'prod'}
    """
    labels: dict[str, str] = {}
    for tag in tags:
        name, found, value = tag.partition(mark)
        if found and name.strip() and value.strip():
            labels.setdefault(name.strip(), value.strip())
    return labels
