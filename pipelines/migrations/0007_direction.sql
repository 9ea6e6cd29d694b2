-- Which side of a series is bad, where people declare it; null: the name of the metric tells.
ALTER TABLE series ADD COLUMN direction text CHECK (direction IN ('up_is_bad', 'down_is_bad', 'both'));
