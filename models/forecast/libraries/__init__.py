"""Forecasters beside the pool: so far those of other libraries."""
