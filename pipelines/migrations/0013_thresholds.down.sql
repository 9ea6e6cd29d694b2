DROP TABLE contradictions;
ALTER TABLE metric_types DROP COLUMN source;
DROP TABLE limit_changes;
ALTER TABLE series DROP COLUMN proposed_threshold;
