DROP INDEX IF EXISTS service_features_by_time;
