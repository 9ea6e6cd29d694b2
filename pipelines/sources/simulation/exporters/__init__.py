"""A simulated company whose exporters show what real exporters show. Pure: arrays of series x time, no I/O."""
