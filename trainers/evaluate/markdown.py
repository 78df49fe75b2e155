"""A report as Markdown."""

from collections.abc import Iterable

from assay.engine.report.markdown import table
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
