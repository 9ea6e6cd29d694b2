"""Benchmarks: the product's own models on public data sets."""
