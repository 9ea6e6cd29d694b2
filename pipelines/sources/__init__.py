"""The sources of metrics, events and incidents; each source of metrics is a `core.ports.MetricSource`."""
