"""The decoder of whole batches, with stand-ins for the backends that need a GPU."""

import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.images import encode, good, photograph

from assay.bench.corruption import DAMAGES, FORMS, headers_of
from assay.engine.admission import admit
from assay.engine.decode import Encoded, make_decoder
from assay.engine.decode.nvimgcodec import NvimgcodecBackend
from assay.engine.decode.screened import ScreenedDecoder, Shared, screen
from assay.engine.decode.staging import Staging
from assay.engine.decode.turbo import decode_one
from assay.engine.errors import SetupError
from assay.engine.outcome import Reason, Refused
from assay.engine.settings import Limits
from assay.kernels.arrays import Array


def encoded(data: bytes) -> Encoded:
    return data, admit(data, Limits(), 1)


class OnDevice(np.ndarray):
    """Pixels that a backend made, or that were uploaded."""


def upload(pixels: Array) -> Array:
    assert not isinstance(pixels, OnDevice), "what is on the device already is not uploaded"
    return pixels.view(OnDevice)


class StubBackend:
    """Decodes as libjpeg-turbo does, but for what `fails` says of an image's place in its batch."""

    def __init__(self, fails: Callable[[int], Any] = lambda place: False) -> None:
        self.fails = fails
        self.batches: list[int] = []

    def decode(self, batch: Sequence[Encoded]) -> list[Array | None]:
        self.batches.append(len(batch))
        found: list[Array | None] = []
        for place, one in enumerate(batch):
            [pixels] = make_decoder("turbo").decode([one])
            assert not isinstance(pixels, Refused), "a bad image reached the backend"
            failure = self.fails(place)
            if failure == "size":
                found.append(pixels[:-1].copy().view(OnDevice))
            else:
                found.append(None if failure else pixels.copy().view(OnDevice))
        return found


@pytest.fixture(params=[1, 4], ids=["one thread", "four threads"])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.mark.parametrize("fails", [lambda place: False, lambda place: True, lambda place: place == 2])
def test_whatever_the_backend_refuses_each_image_gets_its_pixels_on_the_device(
    threads: int, fails: Callable[[int], bool]
) -> None:
    images = good()
    results = ScreenedDecoder(StubBackend(fails), threads, upload).decode(
        [encoded(image.data) for image in images.values()]
    )
    for pixels, image in zip(results, images.values(), strict=True):
        assert isinstance(pixels, OnDevice)
        np.testing.assert_array_equal(pixels, image.pixels)


def test_a_bad_image_hurts_only_itself(threads: int) -> None:
    whole = encode(photograph(384, 512))
    garbage = bytearray(whole)
    garbage[len(whole) // 2 : len(whole) // 2 + 2000] = bytes(2000)
    header = encoded(whole)[1]
    batch = [
        (whole, header),
        (whole[: len(whole) // 2], header),
        (bytes(garbage), header),
        (whole, header),
    ]
    backend = StubBackend()
    results = ScreenedDecoder(backend, threads, upload).decode(batch)
    refused = [isinstance(result, Refused) for result in results]
    assert refused == [False, True, True, False]
    assert isinstance(results[1], Refused)
    assert results[1].reason is Reason.TRUNCATED
    assert backend.batches == [2]


def test_pixels_of_another_size_than_the_header_says_are_not_believed() -> None:
    data = encode(photograph())
    [pixels] = ScreenedDecoder(StubBackend(lambda place: "size"), 1, upload).decode([encoded(data)])
    assert not isinstance(pixels, Refused)
    np.testing.assert_array_equal(pixels, good_pixels(data))


def test_a_batch_without_an_image_for_the_backend_does_not_trouble_it() -> None:
    backend = StubBackend()
    [pixels] = ScreenedDecoder(backend, 1, upload).decode([encoded(good()["png rgb"].data)])
    assert isinstance(pixels, OnDevice)
    assert backend.batches == []


def test_jpegs_with_odd_headers_are_decoded_on_the_host() -> None:
    """Other decoders may refuse them, with their whole batch, or make other pixels of them."""
    names = ["jpeg of odd scan parameters", "jpeg with junk between segments", "jpeg 4:1:0", "jpeg 4:2:0"]
    backend = StubBackend()
    results = ScreenedDecoder(backend, 1, upload).decode([encoded(good()[name].data) for name in names])
    assert backend.batches == [1]
    for pixels, name in zip(results, names, strict=True):
        assert isinstance(pixels, OnDevice)
        np.testing.assert_array_equal(pixels, good()[name].pixels)


def test_without_a_backend_the_host_decodes_and_uploads(threads: int) -> None:
    data = encode(photograph())
    results = ScreenedDecoder(None, threads, upload).decode(
        [encoded(data), (data[: len(data) // 2], encoded(data)[1])]
    )
    assert isinstance(results[0], OnDevice)
    assert isinstance(results[1], Refused)


def good_pixels(data: bytes) -> Array:
    [pixels] = make_decoder("turbo").decode([encoded(data)])
    assert not isinstance(pixels, Refused)
    return pixels


def test_nvimgcodec_needs_a_gpu() -> None:
    with pytest.raises(SetupError, match="--devices"):
        make_decoder("nvimgcodec")


def test_nvimgcodec_that_is_not_installed_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", None)
    with pytest.raises(SetupError, match=r"pip install 'assay\[gpu\]'"):
        NvimgcodecBackend()


class StubEvent:
    """A CUDA event that knows whether it was waited for."""

    def __init__(self) -> None:
        self.waited = False

    def synchronize(self) -> None:
        self.waited = True


@pytest.fixture
def pageable(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Staging in ordinary memory; the sizes that were locked."""
    locked: list[int] = []

    def lock(size: int) -> np.ndarray:
        locked.append(size)
        return np.empty(size, np.uint8)

    monkeypatch.setattr(Staging, "_lock", staticmethod(lock))
    return locked


def test_staging_holds_a_batch_in_memory_that_is_locked_once(pageable: list[int]) -> None:
    staging = Staging()
    random = np.random.default_rng(0)
    for sizes in ([1, 64, 65], [5], [3 << 20, 2 << 20], [9 << 20], [1] * 100):
        images = [random.bytes(size) for size in sizes]
        assert [bytes(view) for view in staging.hold(images)] == images
    assert pageable == [4 << 20, 8 << 20, 16 << 20]


def test_staging_is_not_written_to_while_the_device_reads_it(pageable: list[int]) -> None:
    staging, event = Staging(), StubEvent()
    [view] = staging.hold([b"first"])
    staging.in_use_until(event)
    assert bytes(view) == b"first"
    assert not event.waited
    staging.hold([b"other"])
    assert event.waited


def test_nvimgcodec_results_are_per_image(pageable: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The library and CuPy are stand-ins that check how they are called."""
    calls: dict[str, Any] = {}
    pixels = photograph(16, 24)

    class Decoder:
        def __init__(self, **options: Any) -> None:
            calls["options"] = options

        def decode(self, streams: list[Any], params: Any, cuda_stream: int) -> list[Any]:
            assert cuda_stream == 77
            assert (params.apply_exif_orientation, params.allow_any_depth) == (False, False)
            known = {b"rgb": pixels, b"grey": pixels[..., :1], b"bad": None}
            return [known[bytes(stream)] for stream in streams]

    library = SimpleNamespace(
        Decoder=Decoder,
        DecodeParams=SimpleNamespace,
        ColorSpec=SimpleNamespace(SRGB="sRGB"),
        Backend=lambda kind: kind,
        BackendKind=SimpleNamespace(HW_GPU_ONLY="hardware", GPU_ONLY="gpu", HYBRID_CPU_GPU="hybrid"),
        CodeStream=lambda data: data,
    )
    event = StubEvent()
    stream = SimpleNamespace(ptr=77, record=lambda: event)
    cupy = SimpleNamespace(
        cuda=SimpleNamespace(get_current_stream=lambda: stream), from_dlpack=lambda image: image
    )
    monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", library)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    backend = NvimgcodecBackend(threads=3)
    header = encoded(encode(pixels))[1]
    rgb, bad, grey = backend.decode([(b"rgb", header), (b"bad", header), (b"grey", header)])
    np.testing.assert_array_equal(rgb, pixels)
    assert bad is None
    np.testing.assert_array_equal(grey, pixels[..., :1].repeat(3, axis=2))
    assert ":fancy_upsampling=1" in calls["options"]["options"]
    assert calls["options"]["backends"] == ["hardware", "gpu", "hybrid"]


def test_one_batch_is_screened_while_another_is_finished(threads: int) -> None:
    """In either order of the two halves each batch keeps what is its own."""
    whole, other = encode(photograph(80, 96, 1)), encode(photograph(64, 120, 2))
    cut = (other[: len(other) // 2], encoded(other)[1])
    decoder = ScreenedDecoder(StubBackend(), threads, upload)
    first = decoder.screen([encoded(whole), encoded(other)])
    second = decoder.screen([cut, encoded(whole)])
    for part, files in ((second, [None, whole]), (first, [whole, other])):
        for result, data in zip(decoder.finish(part), files, strict=True):
            if data is None:
                assert isinstance(result, Refused)
            else:
                np.testing.assert_array_equal(result, good_pixels(data))


@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_threads_share_a_list(threads: int, count: int) -> None:
    assert Shared(threads).map(lambda item: item * item, range(count)) == [item**2 for item in range(count)]


def test_what_a_thread_raises_is_raised(threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        Shared(threads).map(lambda item: 1 // item, [3, 2, 1, 0, 1])


@pytest.mark.parametrize("form", [name for name in FORMS if name.startswith("JPEG")])
def test_the_check_refuses_what_the_host_refuses_and_nothing_else(form: str) -> None:
    format, options = FORMS[form]
    data = encode(photograph(96, 128), format, **options)
    headers, random = headers_of(data, format), np.random.default_rng(0)
    refused = 0
    for damage in DAMAGES.values():
        for _ in range(8):
            bad = damage(data, headers, random)
            try:
                one = encoded(bad)
            except Refused:
                continue
            expected = isinstance(decode_one(one), Refused)
            assert isinstance(screen(one), Refused) == expected
            refused += expected
    assert refused
