"""What the documentation says is there: files behind links, options of commands, sentences of errors."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "examples" / "README.md"])
OTHERS = ("reference.md", "CHANGELOG.md")
"""Pages whose commands are not of today, or are what the others are compared with."""
BENCHMARKS = {"--bundle", "--photos"}
"""Options of `python -m assay.bench...`, which the reference does not have."""
CODE = "\n".join(
    path.read_text("utf-8") for folder in ("engine", "trainers") for path in (ROOT / folder).rglob("*.py")
)


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """What a heading is called in a link, as GitHub makes it."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def commands(page: Path) -> Iterator[list[str]]:
    """Words of every `assay ...` that stands in an indented block or between backticks."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^ {4}(assay .+)$", text, re.MULTILINE)
    for line in [*blocks, *re.findall(r"`(assay [^`\n]+)`", text)]:
        yield shlex.split(re.split(r"\s#\s|\s{2,}#|\s\|\s", line)[0].replace("'", ""))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in ("reference.md", "CHANGELOG.md")], ids=ids
)
def test_commands_and_options_exist(page: Path) -> None:
    reference = (ROOT / "docs" / "reference.md").read_text("utf-8")
    parts = re.split(r"^#{3,4} (assay.*)$", reference, flags=re.MULTILINE)
    options = {
        name: set(re.findall(r"--?[a-z0-9][a-z0-9-]*", text))
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }
    for words in commands(page):
        names = [name for name in (" ".join(words[:3]), " ".join(words[:2])) if name in options]
        assert names or words[1].startswith("-"), words
        for word in words:
            if re.match(r"--?[a-z]", word):
                known = options[names[0] if names else "assay"] | {"--help", "-h"}
                if names and names[0] in ("assay train", "assay study"):
                    known = set().union(*options.values())
                assert word.split("=")[0].rstrip(",.") in known, (words, word)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in OTHERS], ids=ids)
def test_options_between_backticks_exist(page: Path) -> None:
    reference = (ROOT / "docs" / "reference.md").read_text("utf-8")
    for code in re.findall(r"`([^`\n]+)`", page.read_text("utf-8")):
        if not re.match(r"(pip|make|torchrun|python|ruff|mypy) ", code):
            for option in set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", code)) - BENCHMARKS:
                assert re.search(rf"`[^`]*{option}[,`]", reference), option


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = list((ROOT / "docs").glob("*.md"))
    assert len(pages) > 10
    for page in pages:
        assert page.name == "README.md" or f"({page.name})" in index, page.name


def test_sentences_of_troubleshooting_are_said() -> None:
    """Each piece of a quoted sentence stands in the code, as it is or around what is filled in."""
    code = re.sub(r'"\s*\n?\s*f?"', "", CODE)  # sentences go on from line to line
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    quoted = re.findall(r"^\| `([^`]+)`.* \|.*\|$", page, re.MULTILINE)
    assert len(quoted) > 40
    for sentence in quoted:
        for piece in re.split(r"'?\.\.\.'?|'", sentence):
            words = piece.strip(" :;(),")
            if len(words.split()) > 2:
                assert words in code, words
