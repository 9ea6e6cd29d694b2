DROP TABLE pushed_samples, pushed_series;
