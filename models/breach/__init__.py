"""Predicts when a series crosses its threshold, and which other breaches follow."""
