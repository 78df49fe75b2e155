"""The ways that load can be sent: one file each."""
