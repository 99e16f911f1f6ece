"""Bisyncer keeps two endpoints equal in both directions, and never loses a version."""

__version__ = "0.1.0"
