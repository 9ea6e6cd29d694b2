-- The release before stores forecasts anew, too.
TRUNCATE forecasts;
