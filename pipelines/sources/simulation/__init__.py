"""The generator behind `SimulatedFleet`: who there is, what happens, what the metrics show. Pure."""
