"""No name can forge a line, whatever characters it has."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.engine.outcome import Label, Outcome, Reason, Rejection, Verdict
from assay.engine.printable import printable
from assay.engine.report.html import html_report
from assay.engine.report.lines import csv_writer, json_writer, text_writer

HOSTILE = "\n\r\t\x00\x1b\x7f\x85\x9b\u2028\u2029\u202e\u2066\u200f\ufeff\udcff\ud800"
names = st.text(st.sampled_from(HOSTILE) | st.characters(), min_size=1)


def verdict(id: str) -> Verdict:
    return Verdict(id, Label.AUTHENTIC, 0.25, {"plain": -1.0}, "bundle", "1", {"note": id})


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("photo 1.jpg", "photo 1.jpg"),
        (
            "\u65e5\u672c \u05d0\u200d\U0001f469\u200d\U0001f680.png",
            "\u65e5\u672c \u05d0\u200d\U0001f469\u200d\U0001f680.png",
        ),
        ("a\nb\r\t", r"a\nb\r\t"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("gpj.\u202egnp.exe", r"gpj.\u202egnp.exe"),
        ("latin\udce9.png", r"latin\xe9.png"),
        ("\x85\u2028\u2029\ufeff", r"\x85\u2028\u2029\ufeff"),
    ],
)
def test_what_is_spelt_out(name: str, shown: str) -> None:
    assert printable(name) == shown


@given(names)
def test_a_name_is_one_line_of_lawful_text(name: str) -> None:
    shown = printable(name)
    assert len(shown.splitlines()) == 1
    shown.encode("utf-8")
    assert not set(shown) & set(HOSTILE)
    assert printable(shown) == shown


@given(st.lists(names, min_size=1, max_size=4))
def test_each_form_has_an_entry_for_each_outcome_and_no_more(given_names: list[str]) -> None:
    outcomes: list[Outcome] = []
    for name in given_names:
        outcomes += [verdict(name), Rejection(name, Reason.TRUNCATED, f"of {name}")]
    text, lines, table, page = (io.StringIO() for _ in range(4))
    with html_report(page) as html:
        for outcome in outcomes:
            for write in (text_writer(text), json_writer(lines), html):
                write(Path(outcome.id), outcome)
    write = csv_writer(table)
    for outcome in outcomes:
        write(Path(outcome.id), outcome)
    assert len(text.getvalue().splitlines()) == len(outcomes)
    assert [json.loads(line)["id"] for line in lines.getvalue().splitlines()] == [one.id for one in outcomes]
    assert len(table.getvalue().splitlines()) == len(outcomes) + 1
    rows = list(csv.DictReader(io.StringIO(table.getvalue())))
    assert len(rows) == len(outcomes)
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())
    assert page.getvalue().count("<article") == len(outcomes)
    for form in (text, table, page):
        assert not set(form.getvalue()) & set(HOSTILE) - {"\n", "\r"}


@pytest.mark.parametrize("name", ["=1+1", "+x", "-rf", "@x", "\uff1dx", "=a;=1+1"])
def test_a_path_is_no_formula_and_still_the_path(name: str) -> None:
    table = io.StringIO()
    csv_writer(table)(Path(name), verdict(name))
    [row] = csv.DictReader(io.StringIO(table.getvalue()))
    assert row["path"] == f"./{name}"
    assert Path(row["path"]) == Path(name)
    assert table.getvalue().splitlines()[1].startswith(f'"./{name}"')
