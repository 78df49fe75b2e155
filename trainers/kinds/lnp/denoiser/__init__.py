"""The denoiser whose residual is the noise pattern."""
