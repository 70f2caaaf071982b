"""Points as directions and lengths, and what is asked of them at the public door."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor

from kdtheory.validate import check_finite

__all__ = ["NEAR", "Points", "check_fits", "checked_pair", "gaps", "prepared"]

NEAR = {torch.float32: 1e-2, torch.float64: 1e-3}
_NUMBERS_AT_ONCE = 2**18


@dataclass(frozen=True)
class Points:
    """x = ‖x‖·x̂ row by row; x̂ is made when it is asked for, so that no copy of all points has to be kept.

    Args:
        rows: x, n × d, or a copy divided by max_k |x_k| where products of rows would overflow or underflow.
        lengths: the length of each of these rows, n × 1, or one for zero.
        norms: ‖x‖/√d.
    """

    rows: Tensor
    lengths: Tensor
    norms: Tensor

    @property
    def directions(self) -> Tensor:
        """x̂, n × d, zero where x is."""
        return self.rows / self.lengths

    def __len__(self) -> int:
        return len(self.norms)

    def __getitem__(self, rows: slice) -> Points:
        return Points(self.rows[rows], self.lengths[rows], self.norms[rows])


def checked_pair(rows: Tensor, columns: Tensor | None, *, whole: bool = False) -> None:
    """Both are batches of points of one shape, type and device, finite; tokens only if `whole`."""
    for name, points in (("rows", rows), ("columns", columns)):
        if points is None:
            continue
        tokens = whole and points.dtype in (torch.int64, torch.int32, torch.bool)
        if points.dtype not in (torch.float32, torch.float64) and not tokens:
            raise ValueError(f"{name} has dtype {points.dtype}; give float32 or float64")
        if points.ndim < 2:
            raise ValueError(f"{name} has shape {tuple(points.shape)}; give a batch of points, n × …")
        check_finite(name, points)
    if columns is not None and (columns.shape[1:], columns.dtype, columns.device) != (
        rows.shape[1:],
        rows.dtype,
        rows.device,
    ):
        raise ValueError(
            f"columns are {tuple(columns.shape[1:])} in {columns.dtype} on {columns.device} and rows "
            f"{tuple(rows.shape[1:])} in {rows.dtype} on {rows.device}; make them alike"
        )


def check_fits(entries: int, points: Tensor) -> None:
    """A matrix of so many entries fits in the memory of the points' device."""
    needed = entries * points.element_size()
    if points.is_cuda:
        most = torch.cuda.mem_get_info(points.device)[1]
    elif points.device.type == "cpu" and "SC_PHYS_PAGES" in getattr(os, "sysconf_names", ()):
        most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    else:
        return
    if needed > most:
        raise ValueError(
            f"the Gram matrix takes {needed / 2**30:.1f} GiB and {points.device} has {most / 2**30:.1f} GiB; "
            "write it to a numpy.memmap with kdtheory.ntk.fill_gram, or take fewer points"
        )


def prepared(points: Tensor) -> Points:
    """Directions and lengths, with no overflow on the way.

    Raises:
        ValueError: a squared length is too large for the precision.
    """
    rows = points.detach().flatten(1)
    root = rows.shape[1] ** 0.5
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    info = torch.finfo(rows.dtype)
    # Where the product of any two rows, and its rounding, is a normal number.
    if bool(((lengths >= (info.tiny / info.eps) ** 0.5) & (lengths <= info.max**0.5 / 2)).all()):
        return Points(rows, lengths, lengths.squeeze(1) / root)
    largest = torch.linalg.vector_norm(rows, torch.inf, dim=1, keepdim=True)
    rows = rows / torch.where(largest > 0, largest, 1)
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    norms = (largest * (lengths / root)).squeeze(1)
    if not bool(torch.isfinite(norms.square()).all()):
        raise ValueError(
            f"points as long as {float(norms.max()):.2g} overflow in {points.dtype}; scale them down"
        )
    return Points(rows, torch.where(lengths > 0, lengths, 1), norms)


def gaps(rows: Tensor, columns: Tensor, cosines: Tensor) -> tuple[Tensor, Tensor]:
    """1 ∓ x̂·x̂′ from directions and their cosines; where that is small ‖x̂ ∓ x̂′‖²/2, which has its digits."""
    return _gap(rows, columns, cosines, 1), _gap(rows, columns, cosines, -1)


def _gap(rows: Tensor, columns: Tensor, cosines: Tensor, sign: int) -> Tensor:
    gap = (1 - sign * cosines).clamp_(0, 2)
    near = (gap < NEAR[gap.dtype]).nonzero()
    for part in near.split(max(1, _NUMBERS_AT_ONCE // rows.shape[1])):
        i, j = part.unbind(1)
        gap[i, j] = (rows[i] - sign * columns[j]).square().sum(1) / 2
    return gap
