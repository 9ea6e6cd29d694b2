DROP TABLE sample_writes;
