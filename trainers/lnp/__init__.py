"""The `lnp` kind from the trainers' side: training its denoiser, and writing it as a bundle."""
