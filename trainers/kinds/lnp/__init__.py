"""The noise-pattern face detector."""
