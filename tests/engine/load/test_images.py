"""What is sent: each a file of its own, and the same image; made ones, and those of folders."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import images as corpus

from assay.engine.admission import admit
from assay.engine.decode import make_decoder
from assay.engine.errors import SetupError
from assay.engine.load import images as module
from assay.engine.load.images import Images, from_paths, from_size, made, marked
from assay.engine.settings import Limits


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_marked_file_is_another_one_with_the_same_pixels(format: str) -> None:
    data = corpus.encode(corpus.photograph(), format)
    one, other = marked(data, 1), marked(data, 2)
    assert len({data, one, other}) == 3
    decoder = make_decoder("turbo")
    plain, changed = decoder.decode([(each, admit(each, Limits(), 1)) for each in (data, one)])
    assert isinstance(plain, np.ndarray)
    assert isinstance(changed, np.ndarray)
    assert (plain == changed).all()
    with Image.open(io.BytesIO(other)) as image:
        assert "assay bench 2" in str(image.info)


@given(st.binary(max_size=200), st.integers(0, 10**9))
def test_what_is_no_jpeg_or_png_goes_as_it_is(data: bytes, number: int) -> None:
    assert marked(data, number) == data
    png = b"\x89PNG\r\n\x1a\n" + data
    assert len(marked(png, number)) >= len(png)


def test_every_good_file_of_the_corpus_is_still_good() -> None:
    for name, good in corpus.good().items():
        header = admit(good.data, Limits(), 1)
        assert admit(marked(good.data, 7), Limits(), 1).pixels == header.pixels, name


def test_images_come_again_in_turn() -> None:
    images = Images([b"a", b"b", b"c"], "three")
    assert [images[number] for number in range(1, 7)] == [b"b", b"c", b"a", b"b", b"c", b"a"]
    assert images.mean_bytes == 1


def test_made_images_have_their_size_and_are_the_same_in_every_run() -> None:
    files = from_size(61, 40, 3)
    assert files.files == made(3, 61, 40)
    assert len(set(files.files)) == 3
    assert files.source == "3 made JPEGs of 61x40"
    header = admit(files.files[0], Limits(), 1)
    assert (header.width, header.height) == (61, 40)


def test_no_more_is_made_or_read_than_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD", 5000)
    assert len(from_size(61, 40, 1000)) < 10
    for number in range(20):
        (tmp_path / f"{number:02}").write_bytes(bytes(1000))
    assert len(from_paths([tmp_path])) == 5


def test_files_that_cannot_be_sent_are_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    with (tmp_path / "b").open("wb") as file:
        file.truncate(Limits().max_bytes + 1)
    found = from_paths([tmp_path])
    assert found.files == [b"x"]
    assert found.source == f"1 files of {tmp_path}, without 1 that cannot be sent"


def test_an_empty_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="there is no file to send in"):
        from_paths([tmp_path])
    with pytest.raises(SetupError, match="does not exist"):
        from_paths([tmp_path / "none"])
