"""Where signals go; each is a `core.ports.SignalSink`."""
