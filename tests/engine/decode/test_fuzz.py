"""The whole way of hostile bytes: any damage to any file gives an array of the admitted size, or a refusal.

Warnings are errors here, a crash ends the run, and a good image beside each damaged one must keep its pixels.
"""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.images import good
from support.mutations import mutated

from assay.engine.admission import admit
from assay.engine.decode import Decoder, make_decoder
from assay.engine.outcome import Refused
from assay.engine.settings import Limits

# small, so that sizes which damage invents cost no memory worth mentioning
LIMITS = Limits(max_pixels=2_000_000)
REASONS = {"empty", "unsupported_format", "truncated", "undecodable", "too_many_pixels", "too_small"}


@pytest.fixture(scope="module")
def turbo() -> Decoder:
    return make_decoder("turbo")


@pytest.fixture(scope="module")
def dali() -> Decoder:
    return make_decoder("dali")


def damaged() -> st.SearchStrategy[bytes]:
    return st.randoms(use_true_random=False).map(mutated)


def survives(decoder: Decoder, data: bytes) -> None:
    """Decodes `data` between two good images and checks all three results."""
    neighbours = [good()["jpeg 4:2:0"], good()["jpeg progressive"]]
    try:
        header = admit(data, LIMITS, 1)
    except Refused as refused:
        assert refused.reason.value in REASONS  # noqa: PT017 - a refusal is one of the two right results
        return
    batch = [(image.data, admit(image.data, LIMITS, 1)) for image in neighbours]
    before, found, after = decoder.decode([batch[0], (data, header), batch[1]])
    np.testing.assert_array_equal(before, neighbours[0].pixels)
    np.testing.assert_array_equal(after, neighbours[1].pixels)
    if isinstance(found, Refused):
        assert found.reason.value in REASONS
        assert found.detail.endswith(".")
    else:
        assert found.shape == (header.height, header.width, 3)
        assert found.dtype == np.uint8


SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@given(data=damaged())
@settings(SLOW, max_examples=1500)
def test_turbo_survives_damage(turbo: Decoder, data: bytes) -> None:
    survives(turbo, data)


@pytest.mark.skipif(find_spec("nvidia.dali") is None, reason="NVIDIA DALI is not installed")
@given(data=damaged())
@settings(SLOW, max_examples=400)
def test_dali_survives_damage(dali: Decoder, data: bytes) -> None:
    survives(dali, data)


@pytest.mark.full
@pytest.mark.timeout(1800)
@given(data=damaged())
@settings(SLOW, max_examples=30_000)
def test_turbo_survives_much_damage(turbo: Decoder, data: bytes) -> None:
    survives(turbo, data)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.skipif(find_spec("nvidia.dali") is None, reason="NVIDIA DALI is not installed")
@given(data=damaged())
@settings(SLOW, max_examples=10_000)
def test_dali_survives_much_damage(dali: Decoder, data: bytes) -> None:
    survives(dali, data)
