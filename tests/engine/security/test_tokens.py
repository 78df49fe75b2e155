"""Token files and rates, on a clock of the test."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.engine.errors import SetupError
from assay.engine.security.tokens import Denied, Throttled, Tokens, parse_tokens

TOKEN = "sixteen-letters-or-more"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no token"),
        ("# nothing\n\n", "has no token"),
        ("a\n", "line 1: a line is NAME TOKEN"),
        ("a short\n", "line 1: a token has 16 characters"),
        (f"a {TOKEN}\na {TOKEN}x\n", "line 2: the name is there already"),
        (f"a {TOKEN} fast\n", "line 1: a rate is"),
        (f"a {TOKEN} 0\n", "line 1: a rate is"),
        (f"a {TOKEN} nan\n", "line 1: a rate is"),
        (f"a {TOKEN} inf\n", "line 1: a rate is"),
        ("a sha256:abcd\n", "line 1: sha256: is followed by"),
    ],
)
def test_a_wrong_line_is_named_and_not_shown(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(SetupError, match=said) as raised:
        parse_tokens(file)
    assert TOKEN not in str(raised.value)


@given(header=st.none() | st.text())
def test_no_header_is_a_defect(tmp_path_factory: pytest.TempPathFactory, header: str | None) -> None:
    file = tmp_path_factory.getbasetemp() / "tokens"
    file.write_text(f"a {TOKEN}\n")
    with pytest.raises(Denied):
        Tokens(file).find(header)


@given(
    rate=st.floats(0.05, 500),
    pauses=st.lists(st.floats(0, 3), min_size=1, max_size=60),
)
def test_a_window_never_holds_more_than_the_rate_and_what_may_come_at_once(
    tmp_path_factory: pytest.TempPathFactory, rate: float, pauses: list[float]
) -> None:
    file = tmp_path_factory.getbasetemp() / "rates"
    file.write_text(f"a {TOKEN} {rate!r}\n")
    now = 0.0
    tokens = Tokens(file, lambda: now)
    token = tokens.find(f"Bearer {TOKEN}")
    taken: list[float] = []
    for pause in pauses:
        now += pause
        try:
            tokens.spend(token)
            taken.append(now)
        except Throttled as throttled:
            now += throttled.seconds
            tokens.spend(token)  # who waits as told is served
            taken.append(now)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= max(1.0, rate) + rate * (taken[last] - start) + 1e-3
