"""Which models forecast a series, and with which weights."""
