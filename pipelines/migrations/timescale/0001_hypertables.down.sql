-- A hypertable becomes a plain table only by copying it.
CREATE TABLE samples_plain (LIKE samples INCLUDING ALL);
INSERT INTO samples_plain SELECT * FROM samples;
DROP TABLE samples;
ALTER TABLE samples_plain RENAME TO samples;
CREATE TABLE service_features_plain (LIKE service_features INCLUDING ALL);
INSERT INTO service_features_plain SELECT * FROM service_features;
DROP TABLE service_features;
ALTER TABLE service_features_plain RENAME TO service_features;
