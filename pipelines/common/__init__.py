"""Code that several pipeline steps share."""
