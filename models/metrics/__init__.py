"""From the metrics of exporters to the golden signals of services."""
