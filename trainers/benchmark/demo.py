"""Makes the demo's committed images, all of which may be redistributed: small photographs, what networks
remade of them, and outputs of text-to-image models.

Run as `python -m assay.trainers.benchmark.demo FOLDER`. None of the photographs is in the benchmark: the
files are named in `sources.DEMO`, and scikit-image is no source of it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from assay.engine.report.markdown import table
from assay.trainers.benchmark.families import FAMILIES
from assay.trainers.benchmark.generators.network import Pixels, reconstruct
from assay.trainers.benchmark.packages import Package, Store, debian, pypi
from assay.trainers.benchmark.publish import Publication
from assay.trainers.benchmark.sources import DEMO

_OPENCV = debian("opencv-doc")
_LOMIRI = debian("lomiri-wallpapers-16.04")
_PALAPELI = debian("palapeli-data")
_SKIMAGE = pypi("scikit-image", "0.25.2")

_APACHE = "Apache-2.0 AND BSD-3-Clause (OpenCV, as the package's copyright file says)"

FAMILY_LICENCES = {"span_x4": "BSD-3-Clause", "rrdn_gan_ps_x4": "MIT"}
"""The families that make the demo's synthetic images, and the licences of the packages that carry them."""

_TEMPLATES = pypi("comfyui-workflow-templates-media-image", "0.3.160")

GENERATED = {
    "chroma1-hd": "image_chroma_text_to_image-1.webp",
    "ernie-image-turbo": "image_ernie_image_turbo-1.webp",
    "flux.1-schnell": "flux_schnell_full_text_to_image-1.webp",
    "flux.2-klein-4b": "image_flux2_klein_text_to_image-1.webp",
    "hidream-i1-full": "hidream_i1_full-1.webp",
    "kandinsky-5-lite": "image_kandinsky5_t2i-1.webp",
    "lens": "image_lens_t2i-1.webp",
    "longcat-image": "image_longcat_text_to_image-1.webp",
    "omnigen2": "image_omnigen2_t2i-1.webp",
    "qwen-image": "image_qwen_image-1.webp",
    "sdxl-turbo": "sdxlturbo_example-1.webp",
    "z-image-turbo": "image_z_image_turbo-1.webp",
}
"""Text-to-image models and the thumbnail of each one's template, which is an output of it."""

_LONGER_SIDE = 512
_QUALITIES = (92, 85, 88, 95)


@dataclass(frozen=True)
class Exhibit:
    """A photograph of the demo; of some a detail is shown too."""

    package: Package
    name: str
    author: str
    licence: str
    detail: bool = False


EXHIBITS: tuple[Exhibit, ...] = (
    Exhibit(_SKIMAGE, "astronaut.png", "NASA", "public domain"),
    Exhibit(_SKIMAGE, "camera.png", "Lav Varshney", "CC0-1.0"),
    Exhibit(_SKIMAGE, "chelsea.png", "Stefan van der Walt", "CC0-1.0"),
    Exhibit(_SKIMAGE, "coffee.png", "Rachel Michetti", "CC0-1.0"),
    Exhibit(_SKIMAGE, "rocket.jpg", "SpaceX", "public domain"),
    Exhibit(_PALAPELI, "cincinnati-bridge.jpg", "Derek Jensen", "public domain", detail=True),
    Exhibit(_PALAPELI, "citrus-fruits.jpg", "US Department of Agriculture", "public domain", detail=True),
    Exhibit(_PALAPELI, "european-honey-bee.jpg", "John Severns", "public domain", detail=True),
    Exhibit(_LOMIRI, "seeding_by_Clements_Engelhardt.jpg", "Clemens Engelhardt", "CC0-1.0"),
    *(Exhibit(_OPENCV, f"{name}.jpg", "not stated", _APACHE) for name in DEMO["opencv"]),
)


def make(folder: Path, store: Store) -> list[Path]:
    """Writes `folder/images` and `folder/LICENCES.md`; returns the images.

    Every photograph is shown whole, at most 512 pixels wide or high, some also as a detail at stored size.
    The families take turns in remaking each once. Outputs of text-to-image models keep their size.
    """
    families = [family for family in FAMILIES if family.name in FAMILY_LICENCES]
    networks = [family.network(store, folder) for family in families]
    rows = [["file", "what it is", "taken from", "author", "licence"]]
    paths = []
    for number, (exhibit, kind, image) in enumerate(_images(store)):
        publication = Publication(_QUALITIES[number % len(_QUALITIES)], "4:2:0")
        turn = number % len(families)
        synthetic = reconstruct(
            networks[turn], image, families[turn].scale, Image.Resampling.BICUBIC, tiled=True
        )
        stem = f"{Path(exhibit.name).stem.split('_by_')[0]}-{kind}"
        for label, maker, content in (("real", "", image), ("fake", families[turn].name, synthetic)):
            path = folder / "images" / f"{label}-{stem}{'-' + maker if maker else ''}{publication.suffix}"
            publication.save(content, path)
            paths.append(path)
            maker_licence = f"{maker} ({families[turn].package}, {FAMILY_LICENCES[families[turn].name]})"
            made = maker_licence if maker else "photograph"
            photograph = f"{exhibit.package}: {exhibit.name}"
            rows.append([path.name, made, photograph, exhibit.author, exhibit.licence])
    for number, (generator, name) in enumerate(GENERATED.items()):
        (stored,) = store.path(_TEMPLATES).rglob(name)
        publication = Publication(_QUALITIES[number % len(_QUALITIES)], "4:2:0")
        path = folder / "images" / f"generated-{generator}{publication.suffix}"
        with Image.open(stored) as output:
            publication.save(np.asarray(output.convert("RGB")), path)
        paths.append(path)
        rows.append([path.name, f"output of {generator}", f"{_TEMPLATES}: {name}", "Comfy-Org", "MIT"])
    (folder / "LICENCES.md").write_text(_HEADER + table(rows, numbers=False), encoding="utf-8")
    return paths


_HEADER = """# Where the demo's images come from

The photographs are carried by the packages named here, whose own copyright notices (for scikit-image the
notes of `skimage.data`, for palapeli-data the file beside each image) state author and licence. They were
reduced or cropped and stored as JPEG again. Each remade image (`fake-`) is such a photograph,
reduced and brought back by a super-resolution network; it is under the photograph's licence. Outputs of
text-to-image models (`generated-`) are the thumbnails of ComfyUI's workflow templates, reduced and stored as
WebP by their authors and as JPEG here; the file's name says the template, and so the model. Their licence is
in the package's metadata; the package carries no notice besides. None of the images is in the training data.

"""


def _images(store: Store) -> list[tuple[Exhibit, str, Pixels]]:
    images = []
    for exhibit in EXHIBITS:
        (path,) = (one for one in store.path(exhibit.package).rglob(exhibit.name) if _wanted(one))
        with Image.open(path) as stored:
            photo = stored.convert("RGB")
        whole = photo.copy()
        whole.thumbnail((_LONGER_SIDE, _LONGER_SIDE), Image.Resampling.LANCZOS)
        images.append((exhibit, "whole", np.asarray(whole)))
        if exhibit.detail:
            left, top = ((side - 320) // 2 // 16 * 16 for side in photo.size)
            images.append((exhibit, "detail", np.asarray(photo.crop((left, top, left + 320, top + 320)))))
    return images


def _wanted(path: Path) -> bool:
    """Not the pages of OpenCV's manual, which show some of the examples' photographs again."""
    return "html" not in path.parts


if __name__ == "__main__":
    target = Path(sys.argv[1])
    made = make(target, Store(Path(sys.argv[2]) if len(sys.argv) > 2 else target / "packages"))
    print(f"{len(made)} images, {sum(path.stat().st_size for path in made) / 1e6:.1f} MB")
