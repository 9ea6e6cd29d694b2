"""What every part of Forewarn speaks of: the domain, the ports, the settings and the errors. Pure."""
