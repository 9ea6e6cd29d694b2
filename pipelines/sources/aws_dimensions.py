"""Which dimension of a metric of CloudWatch names its service. Alarms and metrics use the same rule."""

from collections.abc import Mapping

from core.service_names import ServiceRule

#: Dimensions that name a service or a resource, the most telling first.
DIMENSIONS = (
    "ServiceName",
    "Service",
    "FunctionName",
    "QueueName",
    "TopicName",
    "TableName",
    "DBClusterIdentifier",
    "DBInstanceIdentifier",
    "CacheClusterId",
    "ApiName",
    "LoadBalancer",
    "AutoScalingGroupName",
    "ClusterName",
    "BucketName",
    "InstanceId",
)


def service_dimension(dimensions: Mapping[str, str], services: ServiceRule) -> str | None:
    """The name of the dimension that names the service; null when none does.

    Examples:
        >>> service_dimension({"ClusterName": "c", "ServiceName": "checkout"}, ServiceRule())
        'ServiceName'
    """
    named = (name for name in DIMENSIONS if dimensions.get(name, "").strip())
    return services.label_in(dimensions) or next(named, None)
