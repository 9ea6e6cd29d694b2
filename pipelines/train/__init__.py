"""Training: one file a kind of model; each ends with a version in the registry."""
