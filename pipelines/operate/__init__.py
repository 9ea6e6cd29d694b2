"""Operate: status, API keys and retention."""
