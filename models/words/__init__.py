"""All texts of signals."""
