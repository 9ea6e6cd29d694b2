"""The choice of the forecasters of a series and of their weights."""
