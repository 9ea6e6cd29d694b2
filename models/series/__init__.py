"""What holds of any series: the clock, the grid, robust statistics, thresholds, maintenance."""
