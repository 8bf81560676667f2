"""Operations of a forward pass as shapes, and Work: what they cost in FLOPs, bytes, messages.

An operation is a shape without hardware; `placement` splits it over GPUs and `physics` turns
it into seconds. Rows are tokens in the step, or sequences where one result a sequence is enough
(the LM head).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tokenmill.work.architecture import Experts, Mixer

__all__ = ["Array", "Attend", "Elementwise", "ExpertBlock", "Matmul", "Operation", "Work"]

Array = NDArray[np.float64]
Scalar = Any  # a float or an array of floats: numpy treats both alike


@dataclass(frozen=True, slots=True)
class Work:
    """What must be computed and moved: a value that adds up and scales.

    Units: flop [FLOP], weight_bytes, cache_bytes and activation_bytes [B] read or written once,
    message_bytes [B] sent by each GPU, kernels [launches].
    """

    flop: Scalar = 0.0
    weight_bytes: Scalar = 0.0
    cache_bytes: Scalar = 0.0
    activation_bytes: Scalar = 0.0
    message_bytes: Scalar = 0.0
    kernels: Scalar = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __radd__(self, other: Work | int) -> Work:
        return self if other == 0 else self + other  # type: ignore[operator]

    def __mul__(self, times: Scalar) -> Work:
        return Work(*(getattr(self, f.name) * times for f in fields(self)))

    __rmul__ = __mul__

    @property
    def memory_bytes(self) -> Scalar:
        """Bytes through the memory [B]: weights, cache and activations."""
        return self.weight_bytes + self.cache_bytes + self.activation_bytes

    @property
    def intensity(self) -> Scalar:
        """Arithmetic intensity [FLOP/B]."""
        return self.flop / self.memory_bytes


@dataclass(frozen=True, slots=True)
class Matmul:
    """y[rows, n] = x[rows, k] W[k, n], `count` times in a pass.

    `split` says what tensor parallelism divides: the columns n, the rows k of W, or nothing.
    `grouped_n` columns come in groups of `group_n` that cannot be divided further (the keys and
    values of a KV head): ranks beyond the number of groups hold copies.
    """

    name: str
    k: int
    n: int
    count: int
    split: Literal["columns", "rows", "none"]
    part: Literal["attention", "feed-forward", "head", "router"]
    grouped_n: int = 0
    group_n: int = 1
    per_sequence: bool = False

    @property
    def parameters(self) -> int:
        """Matrix elements over all `count` matrices, unsharded."""
        return self.k * (self.n + self.grouped_n) * self.count

    def shard(self, tp: Scalar) -> tuple[Scalar, Scalar]:
        """(k, n) on one of `tp` GPUs, ragged edges rounded up."""
        if self.split == "columns":
            grouped = np.maximum(np.ceil(self.grouped_n / tp), self.group_n * (self.grouped_n > 0))
            return self.k, np.ceil(self.n / tp) + grouped
        if self.split == "rows":
            return np.ceil(self.k / tp), self.n + self.grouped_n
        return self.k, self.n + self.grouped_n


@dataclass(frozen=True, slots=True)
class Attend:
    """The mixer's own arithmetic (scores, values, state updates), without its projections."""

    name: str
    mixer: Mixer
    count: int


@dataclass(frozen=True, slots=True)
class ExpertBlock:
    """The routed experts of `count` equal layers; the router and shared experts are Matmuls."""

    name: str
    experts: Experts
    hidden: int
    count: int

    @property
    def matrices(self) -> int:
        """Matrices of one expert: gate, up and down, or up and down."""
        return 3 if self.experts.gated else 2

    @property
    def parameters(self) -> int:
        """Matrix elements of all experts over all `count` layers."""
        e = self.experts
        return self.matrices * (e.input_width or self.hidden) * e.width * e.count * self.count


@dataclass(frozen=True, slots=True)
class Elementwise:
    """Norms, activations, rotations: `values` 16-bit values moved per row, `flop` per row."""

    name: str
    values: int
    flop: int
    count: int
    split: bool  # divided by tensor parallelism
    per_sequence: bool = False


Operation = Matmul | Attend | ExpertBlock | Elementwise
