"""What Feast keeps: the failure features of a service, from the table `service_features`."""

from datetime import timedelta

from feast import Entity, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import PostgreSQLSource
from feast.types import Float64

from features.catalog import FEATURE_NAMES

service = Entity(
    name="service",
    join_keys=["service_id"],
    value_type=ValueType.STRING,
    description="One service of one tenant, as tenant/service.",
)

service_features_source = PostgreSQLSource(
    name="service_features_source",
    table="service_features",
    timestamp_field="ts",
    created_timestamp_column="created",
)

service_features = FeatureView(
    name="service_features",
    entities=[service],
    # Older than three steps is stale. It also keeps point-in-time joins small, whose cost grows with the TTL.
    ttl=timedelta(minutes=15),
    schema=[Field(name=name, dtype=Float64) for name in FEATURE_NAMES],
    source=service_features_source,
    online=True,
)
