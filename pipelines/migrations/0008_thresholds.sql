-- A threshold from the history of a series that has no SLO and no limit; it is no SLO until people accept it.
ALTER TABLE series ADD COLUMN proposed_threshold double precision;
