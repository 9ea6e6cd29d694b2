-- A watch cycle asks for the diagnoses of open signals, and no longer reads those of three years.
CREATE INDEX diagnoses_of_signals ON diagnoses USING gin ((body -> 'signal_ids'));
