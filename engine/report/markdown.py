"""Tables in Markdown, for all that prints or writes one."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[object]], numbers: bool = True) -> str:
    """A header and rows; of `numbers` all columns but the first are to the right. "" where there are none."""
    if not rows:
        return ""
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    rule = ["---", *["--:" if numbers else "---"] * (len(cells[0]) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (cells[0], rule, *cells[1:]))
