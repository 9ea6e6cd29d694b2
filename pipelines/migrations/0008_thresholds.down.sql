ALTER TABLE series DROP COLUMN proposed_threshold;
