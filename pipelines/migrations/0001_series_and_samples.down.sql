DROP TABLE cursors, dead_letters, incidents, events, rollups_1h, rollups_5m, samples, series;
