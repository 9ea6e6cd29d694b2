DROP TABLE series_ends, native_histograms;
