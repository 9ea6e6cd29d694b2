DROP TABLE counters, metric_types;
