"""Processes: chunks of work in workers, clusters, servers as children, and what they leave behind."""
