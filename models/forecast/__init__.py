"""Forecasts of a series with intervals."""
