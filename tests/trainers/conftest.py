"""Torch on one thread: the networks are tiny, and threads waiting for each other make a busy machine slow."""

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
