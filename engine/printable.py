"""Names as people read them: what would move the cursor, end the line or turn the writing round is spelt out.

A file may bear nearly any bytes as its name, and an id any characters. Shown as they are they could forge a
line, such as a verdict, or command a terminal. JSON escapes by itself and has them exactly.
"""

import re

_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL, C1: ends of lines, escape sequences
    "\u2028\u2029"  # ends of lines and paragraphs
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u206a-\u206f"  # turn the direction of writing
    "\ufeff\ufff9-\ufffb"
    "\ud800-\udfff]"  # bytes of a name that are not UTF-8
)


def printable(words: object) -> str:
    """`words` as one line of text that can be shown anywhere: `a\\nb`, `\\x1b[31m`, `\\u202e`; a byte that is
    not UTF-8 as `\\xff`."""
    return _CONTROL.sub(_spelt, str(words))


def _spelt(found: re.Match[str]) -> str:
    character = found[0]
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
