"""From a value to an anomaly: scores, p-values, the alert budget, episodes and filters."""
