"""Versions of models: loading a bundle, comparing it with the champion, promotion."""
