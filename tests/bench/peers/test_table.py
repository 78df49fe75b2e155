"""The arithmetic of the table, against NumPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.bench.peers.table import Measured, Results, Spread, markdown, percentile

values = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=40)


def measured(rate: float, cpu: float = 0.01) -> Measured:
    return Measured(rate, (0.1, 0.2, 0.3), (0.05, 0.06), cpu, cpu / 10, 0.001)


@given(values, st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_percentiles(found: list[float], share: float) -> None:
    assert percentile(found, share) == np.percentile(found, 100 * share, method="inverted_cdf")


def test_a_percentile_of_nothing_is_none() -> None:
    assert np.isnan(percentile([], 0.99))


@given(values)
def test_spread(found: list[float]) -> None:
    spread = Spread.of(found)
    assert spread.median == pytest.approx(np.median(found))
    assert (spread.low, spread.high) == (min(found), max(found))


@given(st.lists(st.tuples(st.none() | st.floats(1, 1e3), st.none() | st.floats(1, 1e3)), max_size=12))
def test_a_ratio_is_of_servers_in_the_same_round(pairs: list[tuple[float | None, float | None]]) -> None:
    def runs(rates: list[float | None]) -> list[Measured | None]:
        return [measured(rate, cpu=1 / rate) if rate else None for rate in rates]

    ours, peer = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    results = Results("int8", 4, 2, {"Assay": runs(ours), "peer": runs(peer)})
    both = np.array([[a, b] for a, b in pairs if a and b]).reshape(-1, 2)
    rate, cpu = results.ratio("Assay", "peer", "rate"), results.ratio("Assay", "peer", "cpu")
    if not len(both):
        assert rate is cpu is None
        return
    wanted = both[:, 0] / both[:, 1]
    assert rate
    assert cpu
    assert [rate.median, rate.low, rate.high] == pytest.approx([np.median(wanted), min(wanted), max(wanted)])
    assert [cpu.low, cpu.high] == pytest.approx([1 / max(wanted), 1 / min(wanted)])


def test_rows() -> None:
    rounds: dict[str, list[Measured | None]] = {
        "Assay": [measured(200, 0.008), measured(240, 0.008)],
        "peer": [measured(100, 0.016), measured(160, 0.016)],
        "failed": [None, None],
    }
    text = markdown(Results("int8", 4, 2, rounds, {"Assay": 0, "peer": 0.0004}), "Assay")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    # 4 images in each of 2 workers at 220 a second: 36 ms a batch
    assert rows[0] == ["Assay", "220", "200 / 300", "60", "1.6", "8.00", "0.80", "1.00", "", "", ""]
    assert rows[1] == [
        "peer", "130", "200 / 300", "60", "1.0", "16.00", "1.60", "1.00",
        "1.75 (1.50 to 2.00)", "0.50 (0.50 to 0.50)", "0.0004",
    ]  # fmt: skip
    assert len(rows) == 2
