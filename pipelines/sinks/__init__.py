"""The receivers of signals; each is a `core.ports.SignalSink`. `configured.py` registers them."""
