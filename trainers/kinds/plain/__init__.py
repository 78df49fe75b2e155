"""Detectors that are one classifier with one logit."""
