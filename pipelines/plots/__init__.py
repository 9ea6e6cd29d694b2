"""Plots for reports, notebooks and model versions."""
