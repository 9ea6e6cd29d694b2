"""Where signals are built: one file for each kind of signal."""
