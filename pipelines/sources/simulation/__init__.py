"""The generator behind `SimulatedFleet`: profiles of services, a plan of incidents, and the metrics. Pure."""
