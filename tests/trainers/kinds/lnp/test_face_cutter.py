"""Cutting out faces with a tiny SAM of random weights: prompts, choices, fills, cached masks, no network."""

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.fusing import resized
from support.sam import write_tiny_sam

from assay.engine.errors import SetupError
from assay.trainers.kinds.lnp import face_cutter
from assay.trainers.kinds.lnp.face_cutter import CutSettings, FaceCutter, Pixels

pytest.importorskip("transformers")
from transformers import SamImageProcessorPil, SamModel, SamProcessor

SHAPES = [(60, 90), (64, 64), (130, 40)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sam(tmp_path_factory.mktemp("sam"))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def photos() -> list[Pixels]:
    return [resized(*shape, seed) for seed, shape in enumerate(SHAPES)]


def peer(model: Path, pixels: Pixels, points: list[list[float]]) -> tuple[np.ndarray[Any, Any], list[float]]:
    """Three masks and their scores by transformers' own processor, points being (x, y) in pixels."""
    images = SamImageProcessorPil(
        size={"longest_edge": 64},
        pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 16},
        mask_pad_size={"height": 16, "width": 16},
    )
    given = SamProcessor(images)(images=[pixels], input_points=[[points]], return_tensors="pt")
    sizes = given.pop("original_sizes"), given.pop("reshaped_input_sizes")
    with torch.inference_mode():
        found = SamModel.from_pretrained(model).eval()(**given)
    return images.post_process_masks(found.pred_masks, *sizes)[0][0].numpy(), found.iou_scores[0, 0].tolist()


@pytest.mark.parametrize("points", [((0.5, 0.5),), ((0.25, 0.5), (0.75, 0.125))])
def test_masks_are_those_of_sams_own_processor(model: Path, points: tuple[tuple[float, float], ...]) -> None:
    cut = {
        choice: FaceCutter(model, CutSettings(points=points, choice=choice))  # type: ignore[arg-type]
        for choice in ("best", "largest", "smallest")
    }
    shares = []
    for pixels in photos():
        height, width = pixels.shape[:2]
        masks, scores = peer(model, pixels, [[x * width, y * height] for y, x in points])
        areas = [int(mask.sum()) for mask in masks]
        found = {choice: cutter.mask(pixels) for choice, cutter in cut.items()}
        assert found["best"].shape == (height, width)
        assert (found["best"] == masks[int(np.argmax(scores))]).mean() > 0.98
        assert found["largest"].sum() == pytest.approx(max(areas), rel=0.02, abs=5)
        assert found["smallest"].sum() == pytest.approx(min(areas), rel=0.02, abs=5)
        shares.append(found["best"].mean())
    assert any(0.02 < share < 0.98 for share in shares)


def test_what_lies_outside_is_filled(model: Path) -> None:
    pixels = photos()[0]
    for choice in ("best", "largest", "smallest"):
        mask = FaceCutter(model, CutSettings(choice=choice)).mask(pixels)  # type: ignore[arg-type]
        if 0 < mask.mean() < 1:
            break
    else:
        pytest.fail("no mask with an outside")
    fills = {"black": 0, "grey": 128, "mean": np.rint(pixels[mask].mean(axis=0))}
    for outside, colour in fills.items():
        cutter = FaceCutter(model, CutSettings(choice=choice, outside=outside))  # type: ignore[arg-type]
        found = cutter.cut(pixels)
        assert found.dtype == np.uint8
        assert np.array_equal(found[mask], pixels[mask])
        assert (found[~mask] == colour).all()


def test_without_a_model_photographs_stay_whole() -> None:
    cutter, pixels = FaceCutter(None), photos()[0]
    assert cutter.cut(pixels) is pixels
    assert cutter.mask(pixels).all()


def test_masks_are_computed_once(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, other = photos()[:2]
    settings = CutSettings(choice="largest")
    masks = [FaceCutter(model, settings, tmp_path).mask(image) for image in (first, other)]
    assert len(list(tmp_path.iterdir())) == 2

    def computed(*arguments: Any) -> Any:
        raise AssertionError("a cached mask was computed again")

    with monkeypatch.context() as patched:
        patched.setattr(face_cutter, "_segmenter", computed)
        again = FaceCutter(model, settings, tmp_path)
        for image, mask in zip((first, other), masks, strict=True):
            assert np.array_equal(again.mask(image), mask)
        # what is put outside the mask is no part of it, but pixels and points are
        assert FaceCutter(model, CutSettings(choice="largest", outside="mean"), tmp_path).mask(first).shape
        changed = first.copy()
        changed[0, 0, 0] ^= 1
        for cutter, image in (
            (again, changed),
            (FaceCutter(model, CutSettings(points=((0.4, 0.5),), choice="largest"), tmp_path), first),
        ):
            with pytest.raises(AssertionError, match="computed again"):
                cutter.mask(image)
    for file in tmp_path.iterdir():
        file.write_bytes(b"half a mask")
    assert np.array_equal(FaceCutter(model, settings, tmp_path).mask(first), masks[0])


def test_a_folder_without_a_whole_model_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"config\.json"):
        FaceCutter(tmp_path)
    (tmp_path / "config.json").write_bytes((model / "config.json").read_bytes())
    with pytest.raises(SetupError, match="no SAM model that can be read"):
        FaceCutter(tmp_path).mask(photos()[0])
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    del weights["mask_decoder.mask_tokens.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(SetupError, match=r"lacks mask_decoder\.mask_tokens\.weight"):
        FaceCutter(tmp_path).mask(photos()[0])


@pytest.mark.parametrize(
    "wrong", [{"points": ()}, {"points": ((0.5, 1.5),)}, {"choice": "first"}, {"outside": "white"}]
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"points|first|white"):
        CutSettings(**wrong)
