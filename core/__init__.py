"""The domain, the ports, the settings and the errors, which all other packages use. Pure."""
