"""The training loop and what every run has: schedule, losses, checkpoints, processes that train together."""
