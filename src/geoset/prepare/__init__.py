"""Scan in, prepared scene out: surface, sets, vertex maps and pairs, stored on disk."""
