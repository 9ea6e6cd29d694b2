"""The detectors, one file for each algorithm."""
