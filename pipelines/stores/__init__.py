"""The database, the feature store and the model registry."""
