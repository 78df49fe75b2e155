"""Images that are gathered for several kernels give what a list of them gives, and are looked at once."""

import numpy as np
import pytest
from support.cuda_host import HostArray, gpu_on_host, on_host_gpu
from support.images import photograph

from assay.kernels import ViewRule, crop_resize, measure, view
from assay.kernels import images as images_module
from assay.kernels.images import Gathered

RULE = ViewRule(resize="short_side", size=32, crop="centre", mean=(0, 0, 0), std=(1, 1, 1))
IMAGES = [photograph(40 + 7 * number, 90, number) for number in range(5)]


def results(images: object, boxes: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(one) for one in (view(images, RULE), measure(images), crop_resize(images, boxes, 16))]


@pytest.mark.parametrize("part", [slice(None), slice(0, 5), slice(1, 3), slice(4, 9), slice(None, None, -1)])
@pytest.mark.parametrize("gpu", [True, False])
def test_each_part_gives_what_a_list_gives(gpu: bool, part: slice) -> None:
    boxes = np.array([[[0, 0, 20, 30]]] * len(IMAGES[part]), np.int32)
    expected = results(IMAGES[part], boxes)
    with gpu_on_host():
        there = on_host_gpu if gpu else np.copy
        gathered = Gathered(map(there, IMAGES))
        for found, one in zip(results(gathered[part], there(boxes)), expected, strict=True):
            np.testing.assert_allclose(found, one, rtol=1e-5, atol=1e-5)


def test_a_table_is_uploaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    table = images_module.as_table
    monkeypatch.setattr(images_module, "as_table", lambda *given: made.append(given) or table(*given))
    with gpu_on_host():
        gathered = Gathered(map(on_host_gpu, IMAGES))
        for _ in range(3):
            results(gathered[0:][:None], on_host_gpu(np.array([[[0, 0, 20, 30]]] * 5, np.int32)))
    assert len(made) == 1


def test_what_lives_elsewhere_is_refused_each_time() -> None:
    with gpu_on_host():
        mixed = Gathered([on_host_gpu(IMAGES[0]), IMAGES[1]])
        for _ in range(2):
            with pytest.raises(ValueError, match=r"images\[1\] lives on the host"):
                view(mixed, RULE)
        there = Gathered(map(on_host_gpu, IMAGES))
        assert isinstance(there[0], HostArray)
        with pytest.raises(ValueError, match="offsets lives on the host"):
            view(there, RULE, np.zeros((5, 1, 2), np.int32))


def test_images_of_another_type_are_refused() -> None:
    planes = [np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) for image in IMAGES]
    with gpu_on_host(), pytest.raises(ValueError, match=r"images\[0\] must be"):
        view(Gathered(map(on_host_gpu, planes)), RULE)
