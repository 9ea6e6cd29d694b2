"""One detector a file, named for its algorithm; `models.catalog` finds them by itself."""
