"""Feast reads every Python file here: only definitions of features belong in this folder."""
