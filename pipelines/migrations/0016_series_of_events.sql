-- The series that an event changed, such as the used share of a disk that was resized; null: the whole service.
ALTER TABLE events ADD COLUMN metric text, ADD COLUMN labels jsonb NOT NULL DEFAULT '{}';
