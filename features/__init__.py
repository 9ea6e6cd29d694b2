"""Features: pure functions of metrics, defined once for training and for serving."""
