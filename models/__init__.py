"""Models: baselines, detectors, forecasters, failure risk, hypotheses. Pure: no I/O, no clock."""
