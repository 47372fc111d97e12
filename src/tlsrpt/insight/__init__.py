"""Answers, pure over what store returns: problems, incidents, readiness, coverage."""
