"""When a series will cross its threshold, and what follows from that."""
