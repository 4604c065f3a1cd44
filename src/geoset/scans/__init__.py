"""Scan folders in, canonical frames out: one reader a format."""
