"""The contract of the HTTP API: requests, responses and errors."""
