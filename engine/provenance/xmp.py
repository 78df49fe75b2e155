"""What an XMP packet says: IPTC's digital source type, the program, and where a manifest lies.

The fields that matter are found as text, in time linear in the packet: no XML parser meets hostile XML.
"""

import codecs
import html
import re
from collections.abc import Iterator
from itertools import islice

from assay.engine.provenance.claim import Claim, of_text, of_tool, source_type
from assay.engine.provenance.piece import Data

MOST_PACKET = 1 << 18
"""Bytes of a packet that are looked at."""
MOST_FIELDS = 64
_SOURCE = "DigitalSourceType"
_TOOLS = frozenset({"CreatorTool", "Software", "Credit", "AISystemUsed"})
_TEXTS = frozenset({"UserComment", "description", "AIPromptInformation"})
REMOTE = "provenance"
"""Where a manifest lies that is not in the file."""
_ATTRIBUTE = rb"\s{0,64}=\s{0,64}(?:\"([^\"<]{1,65536})|'([^'<]{1,65536}))"
_RESOURCE = rb"\s{1,64}rdf:resource" + _ATTRIBUTE
_LIST = rb"(?:<rdf:(?:Alt|Seq|Bag)>\s{0,64}<rdf:li[^<>]{0,200}>)?"
_CONTENT = rb"(?:\s[^<>]{0,200})?>\s{0,64}" + _LIST + rb"([^<]{1,65536})"
_NAMES = "|".join(sorted({_SOURCE, REMOTE, *_TOOLS, *_TEXTS})).encode()
# from the colon on: a byte that is looked for first makes searching several times as fast
_FIELD = re.compile(b":(" + _NAMES + b")(?:" + b"|".join((_ATTRIBUTE, _RESOURCE, _CONTENT)) + b")")
_OPENS = re.compile(rb"[\s<][A-Za-z0-9_]{1,32}\Z")
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def claims(packet: Data) -> Iterator[Claim]:
    raw = bytes(packet[:MOST_PACKET])
    if raw[:2] in _WIDE:
        raw = raw.decode("utf-16", "replace").encode()
    for match in islice(_FIELD.finditer(raw), MOST_FIELDS):
        if not _OPENS.search(raw, max(0, match.start() - 33), match.start()):
            continue  # the end of an element, or part of a text
        field = match[1].decode()
        content = next(filter(None, match.groups()[1:]))
        text = html.unescape(content.decode("utf-8", "replace")).strip()
        if not text:
            continue
        if field == _SOURCE:
            name, declares = source_type(text)
            yield Claim("xmp", field, name, declares)
        elif field in _TOOLS:
            yield Claim("xmp", field, text, of_tool(text))
        elif field == REMOTE:
            if text.startswith(("http:", "https:")):
                yield Claim("xmp", field, text)
        elif generated := of_text(text):
            yield Claim("xmp", field, text, generated)
