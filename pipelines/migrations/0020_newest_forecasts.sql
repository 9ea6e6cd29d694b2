-- Each watch cycle stored all forecasts once more, a megabyte a day for each series, and only the newest were ever read.
-- From now on the newest replace the others; the next watch cycle stores them.
TRUNCATE forecasts;
