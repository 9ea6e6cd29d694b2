"""One forecaster a file, named for its algorithm."""
