"""Decoders: exact pixels for good images, a typed refusal for evil ones, and never a word between the two."""

import sys
import warnings
from importlib.util import find_spec
from typing import Literal

import numpy as np
import pytest
from PIL import Image, ImageFile
from support.images import encode, evil, find_marker, good, jpeg_markers, photograph

from assay.engine.admission import Header, admit
from assay.engine.decode import (
    Decoded,
    Decoder,
    Encoded,
    jpeg,
    make_decoder,
    pillow,
    sampling,
    turbo,
)
from assay.engine.errors import SetupError
from assay.engine.outcome import Reason, Refused
from assay.engine.settings import Limits

Name = Literal["turbo", "dali"]
NO_DALI = pytest.mark.skipif(find_spec("nvidia.dali") is None, reason="NVIDIA DALI is not installed")


@pytest.fixture(scope="module", params=["turbo", pytest.param("dali", marks=NO_DALI)])
def decoder(request: pytest.FixtureRequest) -> Decoder:
    return make_decoder(request.param)


@pytest.fixture
def dali() -> Decoder:
    pytest.importorskip("nvidia.dali")
    return make_decoder("dali")


def encoded(data: bytes, min_side: int = 1) -> Encoded:
    return data, admit(data, Limits(), min_side)


def outcome(decoder: Decoder, data: bytes, min_side: int = 1) -> Decoded:
    """What becomes of one image on its whole way: admission, then decoding."""
    try:
        return decoder.decode([encoded(data, min_side)])[0]
    except Refused as refused:
        return refused


def reason(decoder: Decoder, data: bytes) -> Reason:
    found = outcome(decoder, data)
    assert isinstance(found, Refused), "an image came of it"
    return found.reason


@pytest.mark.parametrize("name", good())
def test_good_images_decode_to_the_very_pixels(decoder: Decoder, name: str) -> None:
    image = good()[name]
    data, header = encoded(image.data)
    for form in (data, memoryview(data)):
        (pixels,) = decoder.decode([(form, header)])
        assert not isinstance(pixels, Refused), pixels.detail
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable
        np.testing.assert_array_equal(pixels, image.pixels)


@pytest.mark.parametrize("name", evil())
def test_evil_images_are_refused_for_the_right_reason(decoder: Decoder, name: str) -> None:
    image = evil()[name]
    found = outcome(decoder, image.data, min_side=32)
    assert isinstance(found, Refused), "an image came of it"
    assert found.reason in image.reasons, found.detail
    assert found.detail.endswith(".")


def test_one_bad_image_never_changes_its_neighbours(decoder: Decoder) -> None:
    neighbours = [encoded(image.data) for image in good().values()]
    expected = [image.pixels for image in good().values()]
    decoded = 0
    for name, image in evil().items():
        try:
            bad = encoded(image.data, min_side=32)
        except Refused:
            continue
        place = len(name) % len(neighbours)
        results = decoder.decode([*neighbours[:place], bad, *neighbours[place:]])
        found = results.pop(place)
        assert isinstance(found, Refused), name
        for pixels, right in zip(results, expected, strict=True):
            np.testing.assert_array_equal(pixels, right)
        decoded += 1
    assert decoded > len(evil()) // 2, "admission alone refuses the others"


def test_a_batch_of_nothing_but_bad_images(decoder: Decoder) -> None:
    data, header = encoded(good()["jpeg 4:2:0"].data)
    results = decoder.decode([(data[:-cut], header) for cut in range(2, 40)])
    assert [getattr(result, "reason", None) for result in results] == [Reason.TRUNCATED] * 38
    assert decoder.decode([]) == []


@pytest.mark.parametrize(
    "name",
    [
        "jpeg 4:2:0",
        "jpeg progressive",
        "jpeg restart markers",
        "jpeg cmyk",
        "jpeg with everything odd at once",
        "jpeg 4:1:0",
        "jpeg 4:1:0 progressive",
    ],
)
def test_a_jpeg_cut_at_or_within_any_marker_is_truncated(decoder: Decoder, name: str) -> None:
    data = good()[name].data
    cuts = {position + after for position, _ in jpeg_markers(data) for after in range(5)}
    cuts |= set(range(find_marker(data, 0xDA), len(data), 97))
    within = [cut for cut in sorted(cuts) if 1 < cut < len(data)]
    assert len(within) > 50
    for cut in within:
        assert reason(decoder, data[:cut]) is Reason.TRUNCATED, cut


@pytest.mark.parametrize("name", ["png rgb", "png palette", "webp", "webp lossless", "gif", "bmp", "avif"])
def test_other_formats_cut_anywhere_are_refused(decoder: Decoder, name: str) -> None:
    data = good()[name].data
    whole = good()[name].pixels
    for cut in range(32, len(data), max(1, len(data) // 40)):
        found = outcome(decoder, data[:cut])
        if isinstance(found, Refused):
            assert found.reason is Reason.TRUNCATED, (cut, found.detail)
        else:  # a GIF is complete before its last bytes
            assert cut > 0.95 * len(data)
            np.testing.assert_array_equal(found, whole)


def test_flipped_bits_in_a_png_never_pass(decoder: Decoder) -> None:
    data = good()["png rgb"].data
    for at in range(8, len(data), 41):
        flipped = data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
        assert isinstance(outcome(decoder, flipped), Refused), at


@pytest.mark.parametrize(("share", "accepted"), [(0.01, True), (0.15, True), (0.6, False)])
def test_few_bytes_before_the_end_marker_are_accepted_many_are_not(
    decoder: Decoder, share: float, accepted: bool
) -> None:
    image = good()["jpeg 4:4:4"]
    coded = len(image.data) - find_marker(image.data, 0xDA)
    junk = bytes(range(1, 200)) * 200
    found = outcome(decoder, image.data[:-2] + junk[: int(coded * share)] + image.data[-2:])
    if accepted:
        np.testing.assert_array_equal(found, image.pixels)
    else:
        assert isinstance(found, Refused)
        assert found.reason is Reason.UNDECODABLE


def test_a_refusal_repeats_what_libjpeg_said_and_about_what(decoder: Decoder) -> None:
    found = outcome(decoder, evil()["jpeg without quantisation tables"].data)
    assert isinstance(found, Refused)
    assert "Quantization table 0x00 was not defined" in found.detail
    assert found.about["format"] == "jpeg"
    assert (found.about["height"], found.about["width"]) == (96, 131)


@pytest.mark.parametrize(
    "name",
    [
        "jpeg 4:2:0",
        "jpeg grey",
        "jpeg cmyk",
        "png rgb",
        "webp",
        "gif",
        "bmp",
        "tiff",
        "tiff lzw",
        "avif",
    ],
)
def test_a_size_other_than_admitted_is_refused(decoder: Decoder, name: str) -> None:
    """Whatever reads the header next must agree with admission: buffers were made for its size."""
    data, header = encoded(good()[name].data)
    for height, width in ((95, 131), (96, 130), (97, 131), (960, 1310), (1, 1)):
        wrong = Header(header.format, width, height, header.components, header.scan)
        (found,) = decoder.decode([(data, wrong)])
        assert isinstance(found, Refused), (name, height, width)
        assert found.reason is Reason.UNDECODABLE


def test_results_of_one_batch_share_no_memory(decoder: Decoder) -> None:
    """Arrays of unequal sizes lie beside one another in reused memory and must not overlap."""
    batch = [encoded(encode(photograph(64 + number, 100 - number, number))) for number in range(12)]
    for _ in range(2):
        results = [found for found in decoder.decode(batch) if not isinstance(found, Refused)]
        copies = [result.copy() for result in results]
        assert len(results) == len(batch)
        assert not any(
            np.shares_memory(a, b) for number, a in enumerate(results) for b in results[number + 1 :]
        )
        for result, copy in zip(results, copies, strict=True):
            np.testing.assert_array_equal(result, copy)
        batch.reverse()


def test_images_beyond_the_kept_memory_are_decoded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turbo, "KEPT", 40_000)
    decoder = turbo.TurboDecoder()
    arrays = [photograph(side, side, side) for side in (64, 200, 64, 64, 64)]
    batch = [encoded(encode(array)) for array in arrays]
    alone = [make_decoder("turbo").decode([one])[0] for one in batch]
    for found, right in zip(decoder.decode(batch), alone, strict=True):
        np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize(
    "name",
    [
        "jpeg cmyk",
        "jpeg 4:1:0",
        "jpeg cmyk of odd sampling",
        "png alpha",
        "png grey 16",
        "png palette",
        "tiff turned 6",
        "tiff grey 16",
        "gif",
    ],
)
def test_images_are_converted_strip_by_strip(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(pillow, "STRIP", 131 * 7)
    monkeypatch.setattr(jpeg, "STRIP", 131 * 7)
    monkeypatch.setattr(sampling, "STRIP", 131 * 7)
    np.testing.assert_array_equal(outcome(make_decoder("turbo"), good()[name].data), good()[name].pixels)


@pytest.mark.parametrize(
    "name", ["jpeg cut in the middle", "png with a flipped bit", "gif cut in the middle"]
)
def test_a_refusal_keeps_no_frames_alive(decoder: Decoder, name: str) -> None:
    found = outcome(decoder, evil()[name].data)
    assert isinstance(found, Refused)
    assert found.__traceback__ is None
    assert found.__context__ is None


@pytest.fixture
def narrow_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)


@pytest.mark.usefixtures("narrow_pillow")
def test_the_hosts_settings_of_pillow_are_neither_needed_nor_changed(decoder: Decoder) -> None:
    filters = list(warnings.filters)
    for name in ("png rgb", "bmp", "avif", "jpeg cmyk", "tiff", "tiff lzw", "tiff of jpeg"):
        np.testing.assert_array_equal(outcome(decoder, good()[name].data), good()[name].pixels)
    # one plugin asks Pillow's limit on its own: above twice it it refuses
    assert reason(decoder, good()["webp"].data) is Reason.TOO_MANY_PIXELS
    assert Image.MAX_IMAGE_PIXELS == 5000
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    assert warnings.filters == filters


@NO_DALI
def test_dali_refusing_a_batch_costs_only_the_offender(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, dali: Decoder
) -> None:
    """The strict check is left out, so that DALI itself meets a truncated image and gives up its pipeline."""
    names = ["jpeg 4:2:0", "jpeg progressive", "jpeg grey", "jpeg cmyk", "png rgb"]
    batch = [encoded(good()[name].data) for name in names]
    data, header = batch[0]
    monkeypatch.setattr(jpeg, "check", lambda *_: None)
    for _ in range(3):  # and again with the fresh pipeline
        caplog.clear()
        results = dali.decode([*batch[:2], (data[: len(data) // 2], header), *batch[2:]])
        assert "DALI refused 4 images" in caplog.text
        bad = results.pop(2)
        assert isinstance(bad, Refused)
        assert bad.reason is Reason.TRUNCATED
        for found, name in zip(results, names, strict=True):
            np.testing.assert_array_equal(found, good()[name].pixels)
    caplog.clear()
    assert len(dali.decode(batch)) == len(batch)
    assert not caplog.text


@NO_DALI
def test_the_strict_check_refuses_what_a_full_strict_decode_refuses() -> None:
    compared = 0
    for name, image in evil().items():
        if not name.startswith("jpeg"):
            continue
        try:
            data, header = encoded(image.data, min_side=32)
        except Refused:
            continue
        with pytest.raises(Refused) as decoded:
            jpeg.decode(data, header)
        if name.rsplit(", ")[0] in good() or "4:1:0" in name or "junk" in name:
            assert jpeg.check(data, header), "only a full decode reads odd headers"
            continue
        with pytest.raises(Refused) as checked:
            jpeg.check(data, header)
        assert (checked.value.reason, checked.value.detail) == (decoded.value.reason, decoded.value.detail)
        compared += 1
    assert compared > 10


def test_dali_that_is_not_installed_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    with pytest.raises(SetupError, match=r"pip install 'assay\[gpu\]'"):
        make_decoder("dali")
