"""Segment Anything in miniature: random weights, but masks that differ between images and from each other."""

from pathlib import Path

import torch


def write_tiny_sam(folder: Path) -> Path:
    """Saves a SAM of 64-pixel images as transformers does -> its folder."""
    from transformers import SamConfig, SamModel

    config = SamConfig(
        vision_config={
            "hidden_size": 16,
            "output_channels": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 64,
            "num_pos_feats": 8,
            "mlp_dim": 32,
            "window_size": 2,
            "global_attn_indexes": [0],
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 32,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )
    torch.manual_seed(4)
    network = SamModel(config)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    network.save_pretrained(folder)
    return folder
