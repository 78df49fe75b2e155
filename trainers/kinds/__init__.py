"""One folder a detector kind: its network, its run, its fit and its bundle."""
