"""Kernels that a forward pass launches: what a host must do where no CUDA graph does it."""

from __future__ import annotations

from functools import lru_cache

from tokenmill.work.architecture import Architecture, CompressedAttention, LatentAttention
from tokenmill.work.language import operations
from tokenmill.work.ops import Attend, ExpertBlock, Matmul
from tokenmill.work.precision import WeightFormat

__all__ = ["launches"]

_EXPERT_LAUNCHES, _LATENT_LAUNCHES = 10, 5
_BLOCKS = ("fp8_block", "fp4")


@lru_cache(maxsize=256)
def launches(arch: Architecture, weights: WeightFormat) -> int:
    """Kernels that one forward pass launches at least: one an operation, more for experts.

    Experts are scored and chosen, their tokens sorted, counted, multiplied twice, activated and
    added up; latent attention turns, stores, expands and joins its keys. Formats with a scale for
    each block of values scale what goes into a product by a kernel of their own.
    """
    kernels = 0
    for op in operations(arch):
        if isinstance(op, ExpertBlock):
            kernels += op.count * (_EXPERT_LAUNCHES + 2 * (weights.experts in _BLOCKS))
        elif isinstance(op, Matmul):
            parts = {"attention": weights.attention, "feed-forward": weights.feed_forward}
            kernels += op.count * (1 + (parts.get(op.part) in _BLOCKS))
        elif isinstance(op, Attend) and isinstance(op.mixer, LatentAttention | CompressedAttention):
            kernels += op.count * _LATENT_LAUNCHES
        else:
            kernels += op.count
    return kernels
