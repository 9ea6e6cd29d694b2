"""Compares the replicas of a service with each other."""
