DROP TABLE service_features, forecasts, baseline_rows, baselines;
