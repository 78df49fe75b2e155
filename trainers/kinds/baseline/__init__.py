"""Detectors that the papers compare theirs with, each in a file of its own."""
