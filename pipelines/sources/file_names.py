"""The service and the metric of a file, from its name, when no column gives them."""

import re
from pathlib import Path

from core.metric_names import ROLE_WORDS, words_of

#: The id of one instance at the end of a name: five or more hexadecimal digits with a numeral among them.
_INSTANCE = re.compile(r"_(?=[0-9a-f]*\d)([0-9a-f]{5,})$")


def service_and_metric(path: Path) -> tuple[str, str]:
    """Service and metric from the name of a file. The first rule that fits applies.

    1. A double underscore separates them: `checkout__latency_seconds.csv`.
    2. The service is what comes before the first word for a kind of metric (cpu, latency, requests, disk, memory,
       network, ...). An instance id at the end belongs to the service, too.
    3. Otherwise the folder is the service, and the whole name is the metric.

    Examples:
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
    before, separator, after = stem.partition("__")
    if separator and before and after:
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
