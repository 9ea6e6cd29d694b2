DROP TABLE log_levels;
DROP TABLE recent_log_requests;
DROP TABLE log_counts;
