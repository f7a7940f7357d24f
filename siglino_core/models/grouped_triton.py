"""The grouped product in Triton, forward and both gradients, without a wait for the host: for A100 and the like.

Rows are cut into tiles that never cross a group's end. How many tiles there are is known only on the device, so the
grid has as many as there could be, and those left over return at once.

Legend: N rows sorted by group, K values in, M values out, E groups.
"""
# pyright: reportArgumentType=false, reportCallIssue=false, reportIndexIssue=false
# (a kernel's constants are plain numbers to its caller)

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS, COLUMNS, DEPTH = 64, 128, 32


@triton.jit
def _rows_kernel(  # y[n, :] = x[n, :] @ w[group of n]
    x, w, y, tile_group, tile_row, tile_end, K, M,
    x_n, x_k, w_e, w_k, w_m, y_n, y_m,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0)
    group = tl.load(tile_group + tile)
    first, end = tl.load(tile_row + tile), tl.load(tile_end + tile)
    if first < end:
        n = first + tl.arange(0, ROWS)
        m = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
        for start in range(0, K, DEPTH):
            k = start + tl.arange(0, DEPTH)
            a = tl.load(
                x + n[:, None].to(tl.int64) * x_n + k[None, :] * x_k,
                mask=(n[:, None] < end) & (k[None, :] < K),
                other=0.0,
            )
            b = tl.load(
                w + group.to(tl.int64) * w_e + k[:, None] * w_k + m[None, :] * w_m,
                mask=(k[:, None] < K) & (m[None, :] < M),
                other=0.0,
            )
            total += tl.dot(a, b, input_precision=PRECISION)
        out = y + n[:, None].to(tl.int64) * y_n + m[None, :] * y_m
        tl.store(out, total.to(y.dtype.element_ty), mask=(n[:, None] < end) & (m[None, :] < M))


@triton.jit
def _weights_kernel(  # g[e] = dy[rows of e]^T @ x[rows of e]
    dy, x, g, offsets, M, K, dy_n, dy_m, x_n, x_k, g_e, g_m, g_k,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    group = tl.program_id(0)
    first = tl.load(offsets + group - 1, mask=group > 0, other=0)
    end = tl.load(offsets + group)
    m = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    k = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(first, end, DEPTH):
        n = start + tl.arange(0, DEPTH)
        a = tl.load(
            dy + n[None, :].to(tl.int64) * dy_n + m[:, None] * dy_m,
            mask=(n[None, :] < end) & (m[:, None] < M),
            other=0.0,
        )
        b = tl.load(
            x + n[:, None].to(tl.int64) * x_n + k[None, :] * x_k,
            mask=(n[:, None] < end) & (k[None, :] < K),
            other=0.0,
        )
        total += tl.dot(a, b, input_precision=PRECISION)
    out = g + group.to(tl.int64) * g_e + m[:, None] * g_m + k[None, :] * g_k
    tl.store(out, total.to(g.dtype.element_ty), mask=(m[:, None] < M) & (k[None, :] < K))


def _tiles(offsets_E: Tensor, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Each tile's group, its first row and its group's end, int32; a tile left over begins at its group's end."""
    starts_E = torch.nn.functional.pad(offsets_E[:-1], (1, 0))
    tiles_E = (offsets_E - starts_E + ROWS - 1) // ROWS
    ends_E = tiles_E.cumsum(0)
    tile = torch.arange(triton.cdiv(rows, ROWS) + len(offsets_E), device=offsets_E.device)
    group = torch.searchsorted(ends_E, tile, right=True).clamp(max=len(offsets_E) - 1)
    first = starts_E[group] + (tile - (ends_E - tiles_E)[group]) * ROWS
    return group.int(), first.int(), offsets_E[group].int()


def _precision(x: Tensor) -> str:
    """fp32 stays fp32, unless torch was told that TF32 will do."""
    return "ieee" if x.dtype == torch.float32 and not torch.backends.cuda.matmul.allow_tf32 else "tf32"


def _rows(x_NK: Tensor, w_EKM: Tensor, offsets_E: Tensor) -> Tensor:
    y_NM = x_NK.new_empty(len(x_NK), w_EKM.shape[2])
    tiles = _tiles(offsets_E, len(x_NK))
    grid = (len(tiles[0]), triton.cdiv(y_NM.shape[1], COLUMNS))
    _rows_kernel[grid](
        x_NK, w_EKM, y_NM, *tiles, x_NK.shape[1], y_NM.shape[1],
        *x_NK.stride(), *w_EKM.stride(), *y_NM.stride(),
        ROWS=ROWS, COLUMNS=COLUMNS, DEPTH=DEPTH, PRECISION=_precision(x_NK),
    )  # fmt: skip
    return y_NM


class _GroupedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_NK: Tensor, w_EMK: Tensor, offsets_E: Tensor) -> Tensor:
        ctx.save_for_backward(x_NK, w_EMK, offsets_E)
        return _rows(x_NK, w_EMK.transpose(1, 2), offsets_E)

    @staticmethod
    def backward(ctx: Any, dy_NM: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # type: ignore[override]
        x_NK, w_EMK, offsets_E = ctx.saved_tensors
        dx_NK = _rows(dy_NM, w_EMK, offsets_E) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return dx_NK, None, None
        dw_EMK = torch.empty_like(w_EMK)
        e, m, k = w_EMK.shape
        _weights_kernel[(e, triton.cdiv(m, ROWS), triton.cdiv(k, COLUMNS))](
            dy_NM, x_NK, dw_EMK, offsets_E, m, k, *dy_NM.stride(), *x_NK.stride(), *dw_EMK.stride(),
            ROWS=ROWS, COLUMNS=COLUMNS, DEPTH=DEPTH, PRECISION=_precision(x_NK),
        )  # fmt: skip
        return dx_NK, dw_EMK, None


def grouped_linear_triton(x: Tensor, w: Tensor, offsets: Tensor) -> Tensor:
    """x[rows of group e] @ w[e]^T: [N, K], [E, M, K], int32 ends [E] -> [N, M]; sums in fp32."""
    return _GroupedLinear.apply(x, w, offsets)  # type: ignore[no-any-return]
