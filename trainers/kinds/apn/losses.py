"""The five losses of the Artifact Purification Network (section 3.4)."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from assay.trainers.kinds.apn.club import Club
from assay.trainers.kinds.apn.network import APN, Output
from assay.trainers.kinds.apn.run import ObjectiveName

MARGIN = 0.01
"""Epsilon of equation 10: by how much a band must end after its start, as a fraction of the axis."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is added to the cross-entropy of the prediction, and how much it weighs.

    branches: cross-entropy of each branch's own prediction; align: mean squared difference of the branches'
    features (equation 6); band: bands that do not end after their start (equation 10); beyond: bands that
    reach beyond 1; basis: mean absolute product of relevant and irrelevant vectors (equation 11), `cosine`
    making them unit vectors first; mi: the bound on mutual information (equation 7), `floored` at zero: no
    information is less than none, and a network that learns faster than the estimator drives it there without
    end.
    """

    branches: float = 0.0
    align: float = 1.0
    band: float = 1.0
    beyond: float = 0.0
    basis: float = 1.0
    cosine: bool = False
    mi: float = 1.0
    floored: bool = False


OBJECTIVES: dict[ObjectiveName, Objective] = {
    "paper": Objective(),
    # The published code sums over 256 features and over 128 x 128 pairs of vectors instead of averaging.
    "published": Objective(branches=1.0, align=256.0, beyond=1.0, basis=128.0 * 128.0, cosine=True),
    # What the shipped bundle is fitted by: the paper's, each branch made to tell by itself, bands kept on the
    # axis, and the floor.
    "shipped": Objective(branches=1.0, beyond=1.0, floored=True),
}


@dataclass(frozen=True)
class Losses:
    """Scalars, unweighted."""

    ce: Tensor
    branches: Tensor
    align: Tensor
    band: Tensor
    beyond: Tensor
    basis: Tensor
    mi: Tensor

    def total(self, objective: Objective) -> Tensor:
        """Equation 9."""
        return (
            self.ce
            + objective.branches * self.branches
            + objective.align * self.align
            + objective.band * self.band
            + objective.beyond * self.beyond
            + objective.basis * self.basis
            + objective.mi * self.mi
        )


def losses(output: Output, labels: Tensor, network: APN, club: Club, objective: Objective) -> Losses:
    """What `network` is fitted by, on a batch.

    output: of `network`; labels: (B,) 0 authentic, 1 synthetic; club: is not trained by this.
    """
    classes = labels.long()
    bound = club.bound(*features(output))
    return Losses(
        ce=functional.cross_entropy(output.logits, classes),
        branches=functional.cross_entropy(output.logits_frequency, classes)
        + functional.cross_entropy(output.logits_spatial, classes),
        align=functional.mse_loss(output.relevant_frequency, output.relevant_spatial)
        + functional.mse_loss(output.irrelevant_frequency, output.irrelevant_spatial),
        band=_per_image(output, reversed_bands),
        beyond=_per_image(output, bands_beyond),
        basis=overlap(
            network.spatial.basis.relevant, network.spatial.basis.irrelevant, cosine=objective.cosine
        ),
        mi=bound.relu() if objective.floored else bound,
    )


def features(output: Output) -> tuple[Tensor, Tensor]:
    """The irrelevant and the relevant feature (B, 256), the mean of both branches, in CLUB's order."""
    return (
        (output.irrelevant_frequency + output.irrelevant_spatial) / 2,
        (output.relevant_frequency + output.relevant_spatial) / 2,
    )


def reversed_bands(bands: Tensor) -> Tensor:
    """Equation 10 of bands (B, 3, K, 4), summed over all but the batch -> (B,).

    In print the start has the wrong sign, which would ask of no band to end after its start.
    """
    start, end = bands[..., ::2], bands[..., 1::2]
    return functional.relu(MARGIN - (end - start)).flatten(1).sum(dim=1)


def bands_beyond(bands: Tensor) -> Tensor:
    """By how much starts and ends of (B, 3, K, 4) exceed 1, summed -> (B,); the paper does not ask."""
    return functional.relu(bands - 1).flatten(1).sum(dim=1)


def overlap(relevant: Tensor, irrelevant: Tensor, *, cosine: bool = False) -> Tensor:
    """Equation 11: the mean absolute product of each relevant with each irrelevant vector, (M, F) each."""
    if cosine:
        relevant, irrelevant = functional.normalize(relevant), functional.normalize(irrelevant)
    return (relevant @ irrelevant.T).abs().mean()


def _per_image(output: Output, term: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean over images of a term of both kinds of bands."""
    return (term(output.amplitude_bands) + term(output.phase_bands)).mean()
