"""The Artifact Purification Network."""
