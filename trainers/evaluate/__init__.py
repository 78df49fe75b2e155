"""Scores of a data set, figures of the scores, and the report of the figures."""
