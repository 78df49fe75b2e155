"""The global-and-local detector: one backbone for the image and its strongest patches, fused by attention.

"Fusing Global and Local Features for Generalized AI-Synthesized Image Detection" (Ju et al. 2022). Forward
pass, names and shapes of the weights are those of its published code.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from assay.engine.errors import SetupError
from assay.trainers.fit.checkpoint import load_state
from assay.trainers.kinds.backbone import build, channels, features, fill, head
from assay.trainers.kinds.from_onnx import hold_statistics, read_graph
from assay.trainers.kinds.fusing.patches import CUTS
from assay.trainers.kinds.fusing.run import Backbone, PatchRule

EMBEDDING, LAYERS, HEADS = 128, 3, 4


class Fusing(nn.Module):
    """A view and six patches of each image -> one logit, above 0 meaning synthetic.

    Weights start at random and are never fetched: `load_backbone` and `load_published` read them from files.
    """

    def __init__(self, backbone: Backbone = "resnet50", patches: PatchRule = "selected") -> None:
        """`patches` other than `selected` are the paper's ablations; no bundle holds such a network."""
        super().__init__()
        self.hold = False
        """Whether training leaves the statistics of batch normalisation as they are."""
        self.backbone = backbone
        self.patches = patches
        self.resnet = build(backbone)  # the published name, whatever network it is
        for name, parameter in self.resnet.named_parameters():
            parameter.requires_grad = not name.startswith(head(backbone))  # kept in files, never used
        self.fc1 = nn.Linear(channels(self.resnet), EMBEDDING)
        self.mha_list = nn.ModuleList(AttentionLayer(EMBEDDING, HEADS) for _ in range(LAYERS))
        self.fc = nn.Linear(EMBEDDING, 1)

    def load_published(self, path: str | Path) -> None:
        """Loads a checkpoint in the layout of the published code, in place.

        The file holds a state dict, bare or under `model` or `state_dict`, with or without `module.` before
        the names and with or without the unused ImageNet classifier. It is read without unpickling objects.
        Raises SetupError listing what is missing or extra in any other file; the weights are then unchanged.
        """
        fill(self, load_state(Path(path)), Path(path), optional=f"resnet.{head(self.backbone)}")

    def load_backbone(self, path: Path) -> None:
        """Loads the backbone from ImageNet weights in torchvision's layout, or from a `plain` bundle's graph.

        Raises SetupError where the file is neither, or where a graph would be trained without `hold`.
        """
        if path.suffix != ".onnx":
            fill(self.resnet, load_state(path), path, optional=head(self.backbone))
        elif self.hold:
            fill(self.resnet, read_graph(self.resnet, path), path, optional=head(self.backbone))
        else:
            raise SetupError(
                f"{path} has its normalisation folded in: train on from it with --hold-statistics"
            )

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.hold:
            hold_statistics(self.resnet)
        return self

    def forward(self, images: Sequence[Tensor], views: Tensor, part: int | None = None) -> Tensor:
        """B originals of any sizes and their (B, 3, S, S) normalised views -> (B, 1) logits.

        Originals are normalised (3, H, W) float32, or (H, W, 3) uint8 and normalised where they are cut.
        `part`: look only at the middle `part` of each patch's S pixels a side, which is cheaper to train.
        """
        activation, embedding = self.embed(views)
        size = views.shape[-1]
        part = part or size
        start = (size - part) // 2
        inner = slice(start, start + part)
        _, local = self.embed(self.crops(images, activation, size)[:, :, inner, inner])
        tokens = torch.cat([local.reshape(len(images), -1, EMBEDDING), embedding.unsqueeze(1)], dim=1)
        return self.fuse(tokens)[0]

    def crops(self, images: Sequence[Tensor], activation: Tensor, size: int) -> Tensor:
        """Patches of the originals, given the activation (B, M, M) of their views -> (B*P, 3, size, size)."""
        return CUTS[self.patches](images, activation.detach(), size, self.training)

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Views or patches (N, 3, S, S) -> activation (N, M, M) summed over channels, embedding (N, 128)."""
        maps = features(self.resnet, images)
        return maps.sum(dim=1), functional.relu(self.fc1(maps.mean(dim=(2, 3))))

    def fuse(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (N, P + 1, 128), the global one last -> logit (N, 1), attention (N, P).

        The attention is that of the global token to the patches in the last layer, the mean over its heads.
        """
        for layer in self.mha_list:
            tokens, attention = layer(tokens)
        return self.fc(tokens[:, -1]), attention[:, -1, :-1]

    def graphs(self) -> dict[str, nn.Module]:
        """The parts that a bundle holds as graphs, by name; they share the weights of this network."""
        return {"backbone": _Part(self, "embed"), "fuse": _Part(self, "fuse")}


class AttentionLayer(nn.Module):
    """Self-attention, then two linear layers, each with a residual and normalised after it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln1 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, width)
        self.ln2 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T, width) -> the same shape, and the attention (N, T, T), the mean over heads."""
        mixed, attention = self.mha(tokens, tokens, tokens)
        tokens = self.ln1(tokens + mixed)
        return self.ln2(tokens + self.fc2(functional.relu(self.fc1(tokens)))), attention


class _Part(nn.Module):
    """One method of a network as a module of its own."""

    def __init__(self, network: nn.Module, method: str) -> None:
        super().__init__()
        self.network = network
        self.method = method

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        outputs: tuple[Tensor, Tensor] = getattr(self.network, self.method)(image)
        return outputs
