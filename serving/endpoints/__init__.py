"""What each endpoint does: a validated request in, a response out."""
