"""What views, windows, boxes and crops are, written straight from their definitions: float64 and slow.

Only the arithmetic that an index depends on is float32, as in every form.
"""

import math

import numpy as np


def triangle_weights(source: int, centres: list[float], support: float) -> np.ndarray:
    """(len(centres), source): each output's weights over all input pixels, whose centres are i + 0.5."""
    weights = np.zeros((len(centres), source))
    for row, centre in enumerate(centres):
        for pixel in range(source):
            weights[row, pixel] = max(0.0, 1 - abs(pixel + 0.5 - centre) / support)
    return weights / weights.sum(axis=1, keepdims=True)


def scaled(pixels: np.ndarray, height: int, width: int, antialias: bool) -> np.ndarray:
    for axis, target in ((0, height), (1, width)):
        scale = pixels.shape[axis] / target
        centres = [(i + 0.5) * scale for i in range(target)]
        weights = triangle_weights(pixels.shape[axis], centres, max(scale, 1) if antialias else 1)
        pixels = np.moveaxis(np.tensordot(weights, pixels, (1, axis)), 0, axis)
    return pixels


def view(image: np.ndarray, rule, corners=None) -> np.ndarray:
    """One image's views (C, 3, S, S); `corners` are explicit offsets."""
    side = rule.size
    pixels = image.astype(np.float64) / 255
    height, width = image.shape[:2]
    short = min(height, width)
    if rule.resize == "exact":
        pixels = scaled(pixels, side, side, rule.antialias)
    elif rule.resize == "short_side" or (short < side and rule.small == "enlarge"):
        pixels = scaled(pixels, side * height // short, side * width // short, rule.antialias)
    elif short < side:
        new_height, new_width = math.ceil(height * side / short), math.ceil(width * side / short)
        repeats = (math.ceil(new_height / height), math.ceil(new_width / width), 1)
        pixels = np.tile(pixels, repeats)[:new_height, :new_width]
    if rule.channels == "bgr":
        pixels = pixels[:, :, ::-1]
    pixels = (pixels - np.array(rule.mean)) / np.array(rule.std)
    free_y, free_x = pixels.shape[0] - side, pixels.shape[1] - side
    if corners is None:
        fractions = [(0.5, 0.5)] if rule.crop == "centre" else rule.crop
        corners = [(math.floor(y * free_y), math.floor(x * free_x)) for y, x in fractions]
    return np.stack([pixels[y : y + side, x : x + side].transpose(2, 0, 1) for y, x in corners])


def window_scores(activation: np.ndarray, window: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(
        activation.astype(np.float64), (window, window), (1, 2)
    )
    return windows.mean(axis=(3, 4))


def select_windows(scores: np.ndarray, count: int) -> np.ndarray:
    picks = []
    for score in scores:
        left = score.copy()
        height, width = left.shape
        for _ in range(count):
            best = left.max()
            picks.append(next(cell for cell in np.ndindex(height, width) if left[cell] == best))
            padded = np.pad(left, 1, constant_values=-np.inf)
            for y, x in np.ndindex(height, width):
                if padded[y : y + 3, x : x + 3].max() == best:
                    left[y, x] = 0
    return np.array(picks, np.int32).reshape(len(scores), count, 2)


def patch_box(
    cell: tuple[int, int], window: int, map_size: int, image_size: tuple[int, int], patch: int
) -> list[int]:
    """Top, left, bottom, right of one window in one image."""
    short = min(image_size)
    score_size = map_size - window + 1
    starts, stops = [], []
    for location, side in zip(cell, image_size, strict=True):
        rate = np.float32(2 * int(location) + map_size - score_size + 1) / np.float32(2 * map_size)
        centre = int(np.float32((side - short) // 2) + np.float32(short) * rate)
        start, stop = centre - patch // 2, centre + patch // 2 + patch % 2
        if start < 0:
            start, stop = 0, stop - start
        if stop > side:
            start, stop = start - (stop - side), side
        starts.append(max(start, 0))
        stops.append(stop)
    return starts + stops


def crop_resize(image: np.ndarray, box: list[int], size: int, mean, std) -> np.ndarray:
    """One box of one image, uint8 (H, W, 3) or float32 (3, H, W): (3, size, size)."""
    pixels = image.transpose(2, 0, 1) / 255.0 if image.dtype == np.uint8 else image.astype(np.float64)
    pixels = (pixels - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    top, left, bottom, right = box
    pixels = pixels[:, top:bottom, left:right]
    out = np.empty((3, size, size))
    for y, x in np.ndindex(size, size):
        v = y * (pixels.shape[1] - 1) / max(size - 1, 1)
        u = x * (pixels.shape[2] - 1) / max(size - 1, 1)
        v0, u0 = math.floor(v), math.floor(u)
        v1, u1 = min(v0 + 1, pixels.shape[1] - 1), min(u0 + 1, pixels.shape[2] - 1)
        upper = pixels[:, v0, u0] * (1 - (u - u0)) + pixels[:, v0, u1] * (u - u0)
        lower = pixels[:, v1, u0] * (1 - (u - u0)) + pixels[:, v1, u1] * (u - u0)
        out[:, y, x] = upper * (1 - (v - v0)) + lower * (v - v0)
    return out
