DROP TABLE log_templates;
-- counts of minutes that are not complete; without templates their key would not be unique
DELETE FROM log_counts;
ALTER TABLE log_counts DROP CONSTRAINT log_counts_pkey;
ALTER TABLE log_counts DROP COLUMN template;
ALTER TABLE log_counts ADD PRIMARY KEY (tenant, at, service, level);
