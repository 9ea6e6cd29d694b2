-- What is kept of pushed samples for longer than an hour: sizes of wholes (a few hours), and computed values of single
-- replicas (three days). A row holds the samples of one computation.
CREATE TABLE pushed_size_samples (LIKE pushed_samples INCLUDING ALL);
CREATE TABLE pushed_size_series (LIKE pushed_series INCLUDING ALL);
CREATE TABLE pushed_replica_samples (LIKE pushed_samples INCLUDING ALL);
CREATE TABLE pushed_replica_series (LIKE pushed_series INCLUDING ALL);
