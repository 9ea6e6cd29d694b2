"""Prediction intervals from past forecast errors."""
