"""The pool of fast forecasters: each takes about a millisecond."""
