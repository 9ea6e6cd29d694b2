"""Adapters for the forecasters of other libraries."""
