ALTER TABLE forecasts DROP COLUMN digest;
