"""Hadamard matrices: exact at every width that networks have, and none where there is none."""

import math

import pytest
import torch

from siglino_core.distillation.targets.hadamard import hadamard

NETWORKS = [384, 512, 768, 1024, 1152, 1280, 1408, 1536, 4096]
SMALL = [1, 2, 4, 12, 20, 36, 40, 44, 48, 52, 64, 80, 100, 144, 784]  # 52 and 100: the fields of 25 and of 49 elements


@pytest.mark.parametrize("n", [*SMALL, *NETWORKS])
def test_exact(n: int) -> None:
    matrix = hadamard(n)
    assert matrix is not None
    assert (matrix.shape, matrix.dtype) == ((n, n), torch.float64)
    assert torch.equal(matrix.abs(), torch.full_like(matrix, 1 / math.sqrt(n)))
    signs = matrix.sign().float()  # integers up to 2^24 are exact in fp32
    assert torch.equal(signs @ signs.T, n * torch.eye(n))


def test_sylvester_is_symmetric_with_a_row_of_ones() -> None:
    matrix = hadamard(8)
    assert matrix is not None
    assert torch.equal(matrix, matrix.T)
    assert torch.equal(matrix[0].sign(), torch.ones(8, dtype=torch.float64))


@pytest.mark.parametrize("n", [-4, 0, 3, 6, 10, 18, 1026, 92, 668])
def test_none(n: int) -> None:
    """92 has one that these constructions miss; of 668 nobody knows."""
    assert hadamard(n) is None


def test_every_multiple_of_four_up_to_88() -> None:
    assert [n for n in range(4, 89, 4) if hadamard(n) is None] == []
