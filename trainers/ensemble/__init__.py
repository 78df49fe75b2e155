"""Several bundles in one: their logits on held-out images, the layer on them, the bundle."""
