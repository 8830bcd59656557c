"""Edges: what faces people and other programs. Nothing imports it."""
