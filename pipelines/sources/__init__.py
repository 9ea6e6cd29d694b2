"""Where metrics come from; each is a `core.ports.MetricSource`."""
