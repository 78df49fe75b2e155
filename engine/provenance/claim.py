"""What a piece of metadata says about where an image comes from. Anybody can write or remove it."""

import html
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MOST_TEXT = 200
"""Characters of a text that are kept: prompts are long, and nobody vouches for what is in them."""
MOST_READ = 1 << 16
"""Bytes, or characters, of one text that are looked at, and unpacked at most."""


class Source(StrEnum):
    """What is declared, the weightiest first."""

    SYNTHETIC = "synthetic"
    PARTLY = "partly_synthetic"
    CAPTURE = "capture"


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement: where it stands (`png`, `exif`, `xmp`), in which field, its text, what it declares."""

    place: str
    field: str
    text: str
    declares: Source | None = None

    def to_dict(self) -> dict[str, Any]:
        declares = {"declares": self.declares.value} if self.declares else {}
        return {"in": self.place, "field": self.field, "text": shortened(self.text), **declares}


def shortened(text: str) -> str:
    """At most `MOST_TEXT` characters of a text, all of which UTF-8 can hold."""
    cut = text[: MOST_TEXT - 1] + "…" if len(text) > MOST_TEXT else text
    return cut.encode("utf-8", "replace").decode()


# IPTC's vocabulary https://cv.iptc.org/newscodes/digitalsourcetype/, which C2PA uses too
_TYPES = {
    "trainedalgorithmicmedia": Source.SYNTHETIC,
    "compositewithtrainedalgorithmicmedia": Source.PARTLY,
    "compositesynthetic": Source.PARTLY,
    "digitalcapture": Source.CAPTURE,
    "computationalcapture": Source.CAPTURE,
    "compositecapture": Source.CAPTURE,
    "negativefilm": Source.CAPTURE,
    "positivefilm": Source.CAPTURE,
}


def source_type(uri: str) -> tuple[str, Source | None]:
    """The name at the end of a digital source type's URI, and what it declares."""
    name = html.unescape(uri).strip().rstrip("/").rsplit("/", 1)[-1]
    return name, _TYPES.get(name.lower())


_TOOLS = re.compile(
    r"\b(stable[ -]?diffusion|automatic1111|comfyui|invoke ?ai|novelai|midjourney|dall[-·.]?e\b|chatgpt"
    r"|openai|gpt-image|adobe firefly|made with google ai|fooocus|draw things|dream ?studio|swarmui"
    r"|easy diffusion|sd\.next|diffusers|ideogram|leonardo\.ai|bing image creator|nightcafe|craiyon|recraft)",
    re.IGNORECASE,
)
_EDITED = re.compile(r"\bedited with google ai", re.IGNORECASE)


def of_tool(name: str) -> Source | None:
    """What the name of the program that wrote a file declares."""
    if _EDITED.search(name):
        return Source.PARTLY
    return Source.SYNTHETIC if _TOOLS.search(name) else None


_STEPS = re.compile(r"Steps: \d{1,5},")
_BESIDE = re.compile(r"(Sampler|CFG scale|Seed): ")
_NODES = re.compile(r'"(class_type|sampler_name|cfg_scale|negative_prompt|uncond_per_vibe|nodes)"\s{0,8}:')
_JOB = re.compile(r"Job ID: [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


def of_text(text: str) -> Source | None:
    """What a free text declares: synthetic where it holds the parameters of a run of a generator.

    The forms are those of the Stable Diffusion web UIs and their descendants, of ComfyUI, InvokeAI, NovelAI
    and Fooocus (JSON), and of Midjourney.
    """
    settings = _STEPS.search(text) and _BESIDE.search(text)
    graph = text.lstrip()[:16].lower().startswith(("{", "prompt:", "workflow:")) and _NODES.search(text)
    return Source.SYNTHETIC if settings or graph or _JOB.search(text) else None
