"""HTTP: routes, admission, the OpenAPI document and the web pages."""
