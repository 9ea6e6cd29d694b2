DROP TABLE watch_cycles;
