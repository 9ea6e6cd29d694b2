"""The service: one BentoML process that answers for every tenant over HTTP."""
