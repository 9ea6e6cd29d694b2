DROP INDEX diagnoses_of_signals;
