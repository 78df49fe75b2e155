"""The form that band purification is measured against computes the same images."""

import numpy as np
import pytest

from assay import kernels

torch = pytest.importorskip("torch")
pytest.importorskip("threadpoolctl")


def test_the_plain_form_agrees() -> None:
    from assay.bench import purify

    rng = np.random.default_rng(0)
    spectrum = kernels.spectrum(rng.random((1, 3, purify.SIDE, purify.SIDE), dtype=np.float32))
    for amplitude, phase in purify.band_kinds(rng, 1).values():
        found = purify.naive(*map(torch.from_numpy, (spectrum, amplitude, phase)))
        expected = kernels.purify(spectrum, amplitude, phase, (purify.SIDE, purify.SIDE))
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
