"""Numbered SQL files, applied in order by `pipelines.stores.migrate`."""
