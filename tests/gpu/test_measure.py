"""Measures of images are the same on a GPU."""

import numpy as np
import pytest
from support.images import photograph

from assay.kernels import measure

pytestmark = pytest.mark.gpu
cupy = pytest.importorskip("cupy")


def test_measures_agree() -> None:
    images = [photograph(90, 130, 1), photograph(16, 700, 2), np.full((64, 64, 3), 9, np.uint8)]
    found = measure([cupy.asarray(image) for image in images])
    assert isinstance(found, cupy.ndarray)
    assert found.get() == pytest.approx(measure(images), rel=1e-4)
