"""Alerts and digests: what a person is told unasked, and how it gets there."""
