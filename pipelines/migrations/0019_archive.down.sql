DROP TABLE archived_days, archive_waits;
