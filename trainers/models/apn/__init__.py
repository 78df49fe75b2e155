"""The Artifact Purification Network: what of an image is artifact, told apart in frequency and in space.

"Artifact Feature Purification for Cross-domain Detection of AI-generated Images" (Meng et al. 2024). Section
and equation numbers in this package are the paper's. The forward pass is that of the published code, whose
weights `APN.load_published` reads.
"""

from assay.trainers.models.apn.network import APN, Output

__all__ = ["APN", "Output"]
