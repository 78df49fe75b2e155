"""A report as Markdown."""

from collections.abc import Iterable, Sequence

from assay.trainers.evaluate.content import Section


def markdown(sections: Iterable[Section]) -> str:
    """It has no pictures, so sections of a picture alone are left out."""
    text = "# Evaluation\n"
    for section in sections:
        if section.table or not section.picture:
            parts = [part for part in (section.text, table(section.table)) if part]
            body = "\n".join(f"{part.rstrip()}\n" for part in parts)
            text += f"\n## {section.title}\n\n{body}"
    return text


def table(rows: Sequence[Sequence[str]]) -> str:
    """A header and rows; the first column to the left, the others to the right."""
    if not rows:
        return ""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    rule = ["---", *["--:"] * (len(cells[0]) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (cells[0], rule, *cells[1:]))
