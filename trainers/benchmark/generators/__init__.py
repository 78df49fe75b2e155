"""Generator families: networks that packages carry, or that we train, and what each makes of an image."""
