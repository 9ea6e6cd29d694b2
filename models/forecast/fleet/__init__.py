"""The model that learns from all series of a fleet together."""
