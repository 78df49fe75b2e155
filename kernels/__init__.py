"""Views, windowed patch scores, batched crops, spectra, band purification and measures of images.

NumPy arrays in, NumPy arrays out; CuPy arrays in, CuPy arrays out, on the caller's stream and without
waiting for the device. Values are float32 (spectra complex64), indices and boxes int32. Wrong shapes, dtypes,
mixed devices and, on the host, NaN raise ValueError naming the argument.
"""

from assay.kernels.crops import crop_resize
from assay.kernels.images import FlatImages
from assay.kernels.measure import measure
from assay.kernels.purification import purify
from assay.kernels.rule import ViewRule
from assay.kernels.spectra import amplitude, full, grey, phase, spectrum
from assay.kernels.view import view
from assay.kernels.windows import patch_boxes, select_windows, window_scores

__all__ = [
    "FlatImages",
    "ViewRule",
    "amplitude",
    "crop_resize",
    "full",
    "grey",
    "measure",
    "patch_boxes",
    "phase",
    "purify",
    "select_windows",
    "spectrum",
    "view",
    "window_scores",
]
