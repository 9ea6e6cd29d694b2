-- The same in all rows of a forecast: it stands for its content and its model, so that a forecast that is stored already
-- is not written again.
ALTER TABLE forecasts ADD COLUMN digest bigint NOT NULL DEFAULT 0;
