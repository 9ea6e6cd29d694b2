"""Which service and metric a file speaks of, when its columns do not say."""

import re
from pathlib import Path

from core.metric_names import ROLE_WORDS, words_of

#: The id of one instance at the end of a name: five or more hexadecimal digits with a numeral among them.
_INSTANCE = re.compile(r"_(?=[0-9a-f]*\d)([0-9a-f]{5,})$")


def service_and_metric(path: Path) -> tuple[str, str]:
    """Service and metric by the name of a file, by the first rule that fits.

    1. A double underscore parts them: `checkout__latency_seconds.csv`.
    2. What stands before the first word that names a kind of metric (cpu, latency, requests, disk, memory,
       network, ...) is the service; an instance id at the end belongs to the service as well.
    3. Otherwise the folder is the service and the whole name the metric.

    >>> service_and_metric(Path("shop/checkout__latency_seconds.csv"))
    ('checkout', 'latency_seconds')
    >>> service_and_metric(Path("realAWSCloudwatch/ec2_cpu_utilization_5f5533.csv"))
    ('ec2_5f5533', 'cpu_utilization')
    >>> service_and_metric(Path("realAWSCloudwatch/iio_us-east-1_i-a2eb1cd9_NetworkIn.csv"))
    ('iio_us-east-1_i-a2eb1cd9', 'NetworkIn')
    >>> service_and_metric(Path("realTraffic/TravelTime_387.csv"))
    ('realTraffic', 'TravelTime_387')
    >>> service_and_metric(Path("checkout/cpu_usage.csv"))
    ('checkout', 'cpu_usage')
    """
    stem = path.name.split(".")[0] if path.name.count(".") <= 1 else path.stem
    before, parted, after = stem.partition("__")
    if parted and before and after:
        return before, after
    tokens = stem.split("_")
    starts = (n for n, token in enumerate(tokens) if set(words_of(token)) & ROLE_WORDS)
    if first := next(starts, 0):
        service, metric = "_".join(tokens[:first]), "_".join(tokens[first:])
        if instance := _INSTANCE.search(metric):
            return f"{service}_{instance[1]}", metric[: instance.start()]
        return service, metric
    folder = path.absolute().parent.name
    return folder or stem, stem
