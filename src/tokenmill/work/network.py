"""Networks of the media family as lists of GPU kernels, counted per sample of a batch.

A `Kernel` is a shape without hardware. Elementwise kernels carry two counts: as PyTorch runs
them one by one ("eager"), and as a compiler leaves them after fusing each chain into one read
and one write. Values are counted in units of the activation type; a kernel that computes in
FP32 moves two units per value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from tokenmill.work.ops import Array, Work

__all__ = [
    "Columns", "Kernel", "Kind", "Network", "attend", "convolve", "elementwise", "linear", "stored",
]  # fmt: skip

Kind = Literal["matmul", "convolution", "attention", "elementwise"]
_KINDS: tuple[Kind, ...] = ("matmul", "convolution", "attention", "elementwise")


@dataclass(frozen=True, slots=True)
class Kernel:
    """`count` equal kernels.

    flop [FLOP], values [activation values read and written], scores [values that attention
    writes where it is not fused] and exchanged [values that GPUs sharing a sample must swap] are
    per sample; weights [values] are read once per batch.
    `launches` and `fused_launches` are GPU kernels before and after compiling.
    """

    kind: Kind
    flop: float = 0.0
    weights: float = 0.0
    values: float = 0.0
    fused_values: float = 0.0
    scores: float = 0.0
    exchanged: float = 0.0
    launches: float = 1.0
    fused_launches: float = 1.0
    input_values: float = 0.0  # the part of `values` that a product reads: what quantising touches
    count: int = 1

    def times(self, count: int) -> Kernel:
        """The same kernels `count` times as often."""
        return replace(self, count=self.count * count)


@dataclass(frozen=True, slots=True)
class Columns:
    """Kernels of one kind as arrays (kernels,), unequal ones only; units as in `Kernel`."""

    count: Array
    flop: Array
    weights: Array
    values: Array
    fused_values: Array
    scores: Array
    exchanged: Array
    launches: Array
    fused_launches: Array
    input_values: Array


@dataclass(frozen=True)
class Network:
    """One forward pass: kernels in no order, and values that are stored but never streamed."""

    name: str
    kernels: tuple[Kernel, ...]
    stored_values: float = 0.0

    @cached_property
    def parameters(self) -> float:
        """All learned values."""
        return self.stored_values + sum(k.weights * k.count for k in self.kernels)

    @cached_property
    def flop(self) -> float:
        """FLOPs of one sample: a multiply-add is two; norms and activations are not counted."""
        return sum(k.flop * k.count for k in self.kernels)

    @cached_property
    def columns(self) -> dict[Kind, Columns]:
        """The kernels by kind, equal ones merged; a kind without kernels is absent."""
        merged: dict[Kernel, int] = {}
        for kernel in self.kernels:
            alone = replace(kernel, count=1)
            merged[alone] = merged.get(alone, 0) + kernel.count
        found: dict[Kind, Columns] = {}
        for kind in _KINDS:
            same = [kernel.times(count) for kernel, count in merged.items() if kernel.kind == kind]
            if same:
                names = Columns.__dataclass_fields__
                found[kind] = Columns(
                    **{name: np.array([getattr(k, name) for k in same], float) for name in names}
                )
        return found

    def exchanges(self) -> tuple[float, float]:
        """What GPUs that share a sample swap: (times, values in all, per sample)."""
        swapping = [k for k in self.kernels if k.exchanged]
        return (
            float(sum(k.count for k in swapping)), sum(k.exchanged * k.count for k in swapping)
        )  # fmt: skip

    def launches(self, *, fused: bool = False) -> float:
        """GPU kernels in one pass, whatever the batch."""
        return sum((k.fused_launches if fused else k.launches) * k.count for k in self.kernels)

    def work(self, samples: float, *, value_bytes: float = 2.0, fused: bool = False) -> Work:
        """What a pass over `samples` computes and moves.

        Parameters: samples [count]; value_bytes [B per weight and activation]; fused, after
        compiling.
        """
        values = sum((k.fused_values if fused else k.values) * k.count for k in self.kernels)
        return Work(
            flop=self.flop * samples,
            weight_bytes=(self.parameters - self.stored_values) * value_bytes,
            activation_bytes=values * samples * value_bytes,
            kernels=self.launches(fused=fused),
        )


def linear(rows: float, k: int, n: int, *, bias: bool = True, count: int = 1) -> Kernel:
    """y[rows, n] = x[rows, k] W + b, rows per sample."""
    moved = rows * (k + n)
    return Kernel(
        "matmul", 2.0 * rows * k * n, k * n + n * bias, moved, moved,
        input_values=rows * k, count=count,
    )  # fmt: skip


def convolve(pixels: float, inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> Kernel:
    """A convolution with a square window; pixels of its output, per sample."""
    moved = pixels * (inputs * stride**2 + outputs)
    return Kernel(
        "convolution", 2.0 * pixels * inputs * outputs * size**2,
        inputs * outputs * size**2 + outputs, moved, moved,
        input_values=pixels * inputs * stride**2,
    )  # fmt: skip


def attend(queries: float, keys: float, heads: int, head_dim: int, *, count: int = 1) -> Kernel:
    """Softmax attention of `queries` tokens over `keys` tokens, projections not included."""
    width = heads * head_dim
    moved = 2.0 * width * (queries + keys)
    return Kernel(
        "attention", 4.0 * queries * keys * width, 0.0, moved, moved,
        scores=heads * queries * keys, exchanged=moved if queries == keys else 0.0, count=count,
    )  # fmt: skip


def elementwise(
    values: float, launches: float, fused_values: float, fused_launches: float = 1.0,
    *, weights: float = 0.0, count: int = 1,
) -> Kernel:  # fmt: skip
    """Norms, activations, sums and copies: values moved eagerly and after fusing."""
    return Kernel(
        "elementwise", 0.0, weights, values, fused_values,
        launches=launches, fused_launches=fused_launches, count=count,
    )  # fmt: skip


def stored(kernels: Iterable[Kernel]) -> float:
    """Learned values of some kernels."""
    return sum(k.weights * k.count for k in kernels)
