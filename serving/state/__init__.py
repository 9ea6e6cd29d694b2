"""What the service keeps between requests: tenants, models, keys, limits and metrics."""
