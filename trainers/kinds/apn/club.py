"""How much one feature says about another: the variational upper bound that implicit purification minimises.

"CLUB: A Contrastive Log-ratio Upper Bound of Mutual Information" (Cheng et al. 2020), as equations 7 and 8 of
the Artifact Purification Network use it: y, the relevant feature, is predicted from x, the irrelevant one.
"""

from torch import Tensor, nn
from torch.func import functional_call


class Club(nn.Module):
    """q(y | x), a Gaussian with independent components; names of the weights are those of the published code.

    features: the width of x and of y.
    """

    def __init__(self, features: int = 256) -> None:
        super().__init__()
        self.p_mu = _perceptron(features)
        self.p_logvar = nn.Sequential(*_perceptron(features), nn.Tanh())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, F) -> the mean and the logarithm of the variance of y, (B, F) each."""
        return self.p_mu(x), self.p_logvar(x)

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Equation 8, what the estimator itself is fitted by: mean -log q(y | x), up to a constant.

        x, y: (B, F); no gradient reaches them. The published code gives twice the value.
        """
        mean, log_variance = self(x.detach())
        surprise: Tensor = ((y.detach() - mean).square() / log_variance.exp() + log_variance) / 2
        return surprise.sum(dim=1).mean()

    def bound(self, x: Tensor, y: Tensor) -> Tensor:
        """Equation 7, what the network is fitted by: the upper bound on the mutual information of x and y.

        x, y: (B, F). The gradient reaches them and leaves the estimator alone.
        """
        frozen = {name: parameter.detach() for name, parameter in self.named_parameters()}
        mean, log_variance = functional_call(self, frozen, (x,))
        # The mean over all y of (y - mean)^2, without the B x B pairs.
        others = (y.mean(dim=0) - mean).square() + y.var(dim=0, correction=0)
        excess: Tensor = (others - (y - mean).square()) / (2 * log_variance.exp())
        return excess.sum(dim=1).mean()


def _perceptron(features: int) -> nn.Sequential:
    half = features // 2
    return nn.Sequential(nn.Linear(features, half), nn.ReLU(), nn.Linear(half, features))
