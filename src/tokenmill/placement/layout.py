"""Layouts: how one engine instance is split over GPUs, and which splits are legal.

tp (tensor), pp (pipeline), dp (attention data parallel: each rank keeps its own sequences) and
ep (expert parallel). One instance spans tp x pp x dp GPUs; its experts are sharded over
ep x moe_tp = tp x dp GPUs. Plain replicas are not part of a layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import InputError
from tokenmill.work.architecture import (
    Architecture,
    Attention,
    CompressedAttention,
    Dense,
    Experts,
    GatedDeltaNet,
    LatentAttention,
    Mamba2,
)

__all__ = ["Layout", "LayoutGrid", "check", "legal_layouts"]

Scalar = Any


@dataclass(frozen=True, slots=True)
class Layout:
    """One split of one engine instance; counts of GPUs."""

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1

    @property
    def gpus(self) -> int:
        """GPUs of one instance."""
        return self.tp * self.pp * self.dp

    @property
    def moe_tp(self) -> int:
        """Tensor parallel degree inside an expert."""
        return self.tp * self.dp // self.ep

    def __str__(self) -> str:
        parts = [f"TP{self.tp}"]
        parts += [f"PP{self.pp}"] if self.pp > 1 else []
        parts += [f"DP{self.dp}"] if self.dp > 1 else []
        parts += [f"EP{self.ep}"] if self.ep > 1 else []
        return "·".join(parts)


@dataclass(frozen=True, slots=True)
class LayoutGrid:
    """Many layouts as arrays [n] (or [n, 1] to broadcast over batches)."""

    tp: NDArray[np.float64]
    pp: NDArray[np.float64]
    dp: NDArray[np.float64]
    ep: NDArray[np.float64]

    @classmethod
    def of(cls, layouts: tuple[Layout, ...]) -> LayoutGrid:
        """Column arrays [n, 1] of the layouts."""
        columns = np.array([(x.tp, x.pp, x.dp, x.ep) for x in layouts], dtype=float).T
        return cls(*(column[:, None] for column in columns))

    @property
    def gpus(self) -> NDArray[np.float64]:
        """GPUs of one instance, per layout."""
        return self.tp * self.pp * self.dp

    @property
    def moe_tp(self) -> NDArray[np.float64]:
        """Tensor parallel degree inside an expert, per layout."""
        return self.tp * self.dp / self.ep


def _head_counts(arch: Architecture) -> set[int]:
    heads: set[int] = set()
    for layer in arch.layers:
        mixer = layer.mixer
        if isinstance(mixer, Attention | LatentAttention | CompressedAttention | Mamba2):
            heads.add(mixer.heads)
        elif isinstance(mixer, GatedDeltaNet):
            heads.add(mixer.value_heads)
    return heads


def _kv_head_counts(arch: Architecture) -> set[int]:
    mixers = (layer.mixer for layer in arch.layers)
    return {mixer.kv_heads for mixer in mixers if isinstance(mixer, Attention)}


def _widths(arch: Architecture) -> tuple[set[int], set[int], set[int]]:
    dense, experts, counts = set(), set(), set()
    for layer in arch.layers:
        block = layer.feed_forward
        if isinstance(block, Dense):
            dense.add(block.width)
        elif isinstance(block, Experts):
            experts.add(block.width)
            counts.add(block.count)
            if block.shared_width:
                dense.add(block.shared_width)
    return dense, experts, counts


def refusal(arch: Architecture, layout: Layout) -> str:
    """Why a layout is illegal for a model, or "" where it is legal."""
    dense, experts, counts = _widths(arch)
    if min(layout.tp, layout.pp, layout.dp, layout.ep) < 1:
        return "every degree must be at least 1"
    bad_heads = [h for h in sorted(_head_counts(arch)) if h % layout.tp]
    if bad_heads:
        return f"{bad_heads[0]} attention heads do not divide by TP {layout.tp}"
    odd = [n for n in sorted(_kv_head_counts(arch)) if n % layout.tp and layout.tp % n]
    if odd:
        return f"TP {layout.tp} neither divides {odd[0]} KV heads nor copies them evenly"
    if layout.pp > arch.layer_count:
        return f"PP {layout.pp} exceeds {arch.layer_count} layers"
    if (layout.dp > 1 or layout.ep > 1) and not counts:
        return "attention data parallelism and EP need a mixture of experts"
    if (layout.tp * layout.dp) % layout.ep:
        return f"EP {layout.ep} does not divide TP x DP = {layout.tp * layout.dp}"
    if layout.dp > 1 and layout.tp * layout.dp != layout.ep * layout.moe_tp:
        return "EP x expert TP must equal TP x DP"
    if any(count % layout.ep for count in counts):
        return f"{min(counts)} experts do not divide by EP {layout.ep}"
    if any(width % layout.moe_tp for width in experts):
        return f"expert width {min(experts)} does not divide by expert TP {layout.moe_tp}"
    if any(width % layout.tp for width in dense):
        return f"feed-forward width {min(dense)} does not divide by TP {layout.tp}"
    return ""


def check(arch: Architecture, layout: Layout) -> None:
    """Refuse an illegal layout. Raises: InputError with the reason."""
    reason = refusal(arch, layout)
    if reason:
        raise InputError(f"layout {layout} is not legal for this model: {reason}")


@lru_cache(maxsize=256)
def legal_layouts(arch: Architecture, max_gpus: int, domain_gpus: int) -> tuple[Layout, ...]:
    """Every legal layout of one instance.

    Parameters: arch; max_gpus an instance may span; domain_gpus joined by the fast links, which
    tensor parallelism and expert parallelism do not leave (pipelines do).
    Returns: layouts by growing GPU count.
    """
    moe = bool(_widths(arch)[2])
    found = []
    powers = [d for d in (1, 2, 4, 8, 16, 32, 64, 72) if d <= domain_gpus]
    extra = [d for d in (3, 6, 12, 24, 36) if d <= domain_gpus]
    for tp in sorted(powers + extra):
        for dp in powers if moe else [1]:
            if tp * dp > min(domain_gpus, max_gpus):
                continue
            for ep in sorted({1, tp * dp} if not moe else {e for e in powers if e <= tp * dp}):
                for pp in (1, 2, 3, 4, 6, 8, 16):
                    layout = Layout(tp, pp, dp, ep)
                    if layout.gpus <= max_gpus and not refusal(arch, layout):
                        found.append(layout)
    return tuple(sorted(set(found), key=lambda x: (x.gpus, x.pp, x.dp, x.tp, x.ep)))
