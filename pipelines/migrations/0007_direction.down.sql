ALTER TABLE series DROP COLUMN direction;
