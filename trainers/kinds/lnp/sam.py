"""Segment Anything as the optional graphs of an `lnp` bundle, so that the engine cuts out faces by itself."""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from assay.engine.bundle import GraphSpec, Manifest
from assay.trainers.kinds.lnp.face_cutter import FaceCutter, load_sam


class Encode(nn.Module):
    """`sam_encode`: image (N, 3, D, D) -> embedding (N, C, E, E)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder = model.vision_encoder

    def forward(self, image: Tensor) -> Tensor:
        embedding: Tensor = self.encoder(image).last_hidden_state
        return embedding


class Decode(nn.Module):
    """`sam_decode`: embedding, points (N, P, 2) on the face -> masks (N, 3, M, M), overlap (N, 3)."""

    places: Tensor

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.prompts, self.decoder = model.prompt_encoder, model.mask_decoder
        with torch.no_grad():
            self.register_buffer("places", model.get_image_wide_positional_embeddings())

    def forward(self, embedding: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        labels = torch.ones_like(points[:, None, :, 0], dtype=torch.int32)
        sparse, dense = self.prompts(points[:, None], labels, None, None)
        masks, overlap = self.decoder(
            image_embeddings=embedding,
            image_positional_embeddings=self.places.expand(len(embedding), -1, -1, -1),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        return masks[:, 0], overlap[:, 0]


def with_faces(manifest: Manifest, cutter: FaceCutter) -> tuple[Manifest, dict[str, nn.Module]]:
    """A manifest of kind `lnp` that cuts out faces as `cutter` does, and the modules of the graphs it adds.

    Without a model in the cutter nothing changes. Raises SetupError where SAM cannot be read.
    """
    if cutter.folder is None:
        return manifest, {}
    settings = cutter.settings
    model = load_sam(cutter.folder)
    prompts = model.config.prompt_encoder_config
    side, cells = model.config.vision_config.image_size, prompts.image_embedding_size
    embedding = ("N", prompts.hidden_size, cells, cells)
    specs = {
        "sam_encode": GraphSpec(
            file="sam_encode.onnx",
            sha256="",
            inputs={"image": ("N", 3, side, side)},
            outputs={"embedding": embedding},
        ),
        "sam_decode": GraphSpec(
            file="sam_decode.onnx",
            sha256="",
            inputs={"embedding": embedding, "points": ("N", len(settings.points), 2)},
            outputs={"masks": ("N", 3, 4 * cells, 4 * cells), "overlap": ("N", 3)},
        ),
    }
    update = {
        "graphs": {**manifest.graphs, **specs},
        "parameters": {**manifest.parameters, "face": asdict(settings)},
    }
    return manifest.model_copy(update=update), {"sam_encode": Encode(model), "sam_decode": Decode(model)}
