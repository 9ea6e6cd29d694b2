"""Replay: run the production steps over a recorded past, and report what they would have told people."""
