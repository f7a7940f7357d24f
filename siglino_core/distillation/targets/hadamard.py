"""Hadamard matrices: rotations that spread every channel's variance evenly over all channels.

Sources: Sylvester 1867 (doubling) and Paley 1933, "On orthogonal matrices" (both constructions, from the squares of a
finite field). With Kronecker products these reach every multiple of 4 up to 88, and all usual network widths.
"""

import math

import torch
from torch import Tensor


def hadamard(n: int) -> Tensor | None:
    """A normalised Hadamard matrix, fp64 [n, n]: orthogonal, all entries +-1/sqrt(n). None if we know none.

    There is none unless n is 1, 2 or a multiple of 4. Of those, the ones that need a field of q elements are found
    for q a prime or the square of one.
    """
    signs = _signs(n)
    return None if signs is None else signs.div_(math.sqrt(n))


def _signs(n: int) -> Tensor | None:
    """The matrix with entries +-1: the smallest core there is, doubled; else a product of two."""
    if n == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    if n < 1 or (n > 2 and n % 4):
        return None
    if (half := _signs(n // 2)) is not None:
        return torch.cat([torch.cat([half, half], 1), torch.cat([half, -half], 1)])
    if (core := _paley(n)) is not None:
        return core
    for a in range(12, math.isqrt(n) + 1, 4):
        if n % a == 0 and (left := _signs(a)) is not None and (right := _signs(n // a)) is not None:
            return torch.kron(left, right)
    return None


def _paley(n: int) -> Tensor | None:
    """Paley's first construction (n = q + 1, q = 3 mod 4) or second (n = 2 q + 2, q = 1 mod 4)."""
    if n % 4 == 0 and (differences := _jacobsthal(n - 1)) is not None:
        return _bordered(differences, -1) + torch.eye(n, dtype=torch.float64)
    q = n // 2 - 1
    if q % 4 == 1 and (differences := _jacobsthal(q)) is not None:
        conference = _bordered(differences, 1)
        double = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
        diagonal = torch.tensor([[1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)
        return torch.kron(conference, double) + torch.kron(torch.eye(q + 1, dtype=torch.float64), diagonal)
    return None


def _bordered(differences: Tensor, left: float) -> Tensor:
    """A first row of ones and a first column of ``left``, with 0 in the corner."""
    bordered = torch.nn.functional.pad(differences, (1, 0, 1, 0), value=1.0)
    bordered[1:, 0] = left
    bordered[0, 0] = 0
    return bordered


def _jacobsthal(q: int) -> Tensor | None:
    """The characters of all differences of q elements, [q, q]; None if q is neither a prime nor the square of one."""
    root = math.isqrt(q)
    if _is_prime(q):
        element = torch.arange(q)
        return _characters(q)[(element[:, None] - element) % q]
    if root * root == q and root > 2 and _is_prime(root):
        # Elements are a + b sqrt(r), r not a square: such a one is a square exactly if its norm a^2 - r b^2 is one.
        character = _characters(root)
        r = int((character < 0).nonzero()[0])
        a, b = torch.arange(q) // root, torch.arange(q) % root
        a, b = a[:, None] - a, b[:, None] - b
        return character[(a * a - r * b * b) % root]
    return None


def _characters(p: int) -> Tensor:
    """0 for 0, 1 for a square, -1 for the rest: fp64 [p], p an odd prime."""
    character = torch.full((p,), -1.0, dtype=torch.float64)
    character[torch.arange(p) ** 2 % p] = 1
    character[0] = 0
    return character


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))
