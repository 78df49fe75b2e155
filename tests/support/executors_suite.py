"""What every executor promises, whatever it runs on."""

from typing import Any

import numpy as np
from support.executors import Candidate, host, inputs, oracle

from assay.engine.executors.executor import Executor


def check_values(candidate: Candidate, executor: Executor, count: int) -> None:
    """Outputs in the manifest's order, float32, near float64; an image alone gives the same."""
    arrays = inputs(count, seed=count)
    given = candidate.arrays(arrays)
    found = executor(*given)
    assert isinstance(found, tuple)
    for output, expected, own in zip(found, oracle(arrays), _first(executor, given), strict=True):
        assert type(output) is type(given[0])
        assert output.dtype == np.float32
        np.testing.assert_allclose(host(output), expected, rtol=0, atol=candidate.tolerance)
        np.testing.assert_allclose(host(output)[:1], host(own), rtol=0, atol=candidate.tolerance)


def check_contract(candidate: Candidate, executor: Executor) -> None:
    """Inputs are left alone, may be read-only or have gaps; outputs are not written to again."""
    arrays = inputs(6, seed=1)
    given = candidate.arrays(arrays)
    first = executor(*given)
    kept = [host(output).copy() for output in first]
    for array, before in zip(given, arrays, strict=True):
        np.testing.assert_array_equal(host(array), before)
    executor(*candidate.arrays(inputs(6, seed=2)))
    for output, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(host(output), before)
    spread = candidate.arrays([np.repeat(array, 2, axis=0) for array in arrays])
    with_gaps = [array[::2] for array in spread]
    assert not with_gaps[0].flags.c_contiguous
    if not candidate.on_gpu:
        for array in given:
            array.flags.writeable = False
    for other in (executor(*given), executor(*with_gaps)):
        for output, before in zip(other, kept, strict=True):
            np.testing.assert_allclose(host(output), before, rtol=0, atol=1e-6)


def _first(executor: Executor, given: list[Any]) -> tuple[Any, ...]:
    return executor(*(array[:1] for array in given))
