"""The global-and-local detector (Fusing)."""
