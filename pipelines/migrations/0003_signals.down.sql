DROP TABLE api_keys, transitions, verdicts, feedback, deliveries, signals;
DROP FUNCTION refuse_rewriting();
