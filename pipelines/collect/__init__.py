"""Collect: read sources, validate, and store."""
