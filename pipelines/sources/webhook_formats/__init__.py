"""Webhooks that other tools post to Forewarn: one file for each sender's format, registered in `registered.py`."""
