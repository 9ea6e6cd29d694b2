DROP TABLE service_edges;
DROP TABLE operations;
DROP TABLE recent_spans;
DROP TABLE span_counts;
