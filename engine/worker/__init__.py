"""One process that owns one device and takes items from encoded bytes to outcomes, and the link to it."""
