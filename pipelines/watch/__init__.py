"""Watch: detect, forecast, predict failures, diagnose and deliver."""
