"""Where things are kept: the database, the feature store, the model registry."""
