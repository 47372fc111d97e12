"""Tests against real servers, each with a configuration of its own in a temporary folder and high loopback ports."""
