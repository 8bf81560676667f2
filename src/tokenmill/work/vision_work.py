"""The image encoder of a vision-language model as work: patches through a tower and a projector.

Every patch attends to every other of its tile, without a mask; the projector runs once for each
token that the decoder gets. Towers stay in 16 bits whatever the format of the decoder. Class and
separator tokens (under 1 % of a tile) are left out.
References: Dosovitskiy et al. 2021, arXiv:2010.11929; Liu et al. 2023, arXiv:2310.03744.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tokenmill.errors import InputError
from tokenmill.work.architecture import Architecture, Attention, VisionEncoder
from tokenmill.work.language import operations
from tokenmill.work.ops import Attend, Elementwise, ExpertBlock, Matmul, Operation, Work

__all__ = ["image_tokens", "picture_tokens", "vision_work"]

Scalar = Any
_BYTES = 2.0  # of a weight or an activation


def picture_tokens(tower: VisionEncoder, width: int, height: int) -> int:
    """Language tokens of a picture of width x height [pixels]."""
    if tower.tiles == 1:
        return tower.tokens_per_image
    side = tower.image if tower.tiles else tower.patch * tower.merge
    squares = math.ceil(width / side) * math.ceil(height / side)
    if not tower.tiles:
        return squares
    if tower.enlarged:
        grids = ((n, math.ceil(n * height / width)) for n in range(1, tower.tiles))
        squares = max(across * down for across, down in grids if across * down < tower.tiles)
    return (min(squares, tower.tiles - 1) + 1) * tower.tokens_per_image


def image_tokens(arch: Architecture, images: Scalar = 1.0) -> Scalar:
    """Prompt tokens that `images` tiles become. Raises: InputError for a model without eyes."""
    return _tower(arch).tokens_per_image * np.asarray(images, float)


def vision_work(arch: Architecture, images: Scalar = 1.0) -> dict[str, Work]:
    """Work of encoding `images` tiles and projecting them to tokens of the decoder.

    Parameters: arch of a vision-language model; images [tiles of the encoder's own size], a
    float or an array.
    Returns: Work by operation name. Raises: InputError for a model without an image encoder.
    """
    tower = _tower(arch)
    images = np.asarray(images, float)
    patches = (tower.image // tower.patch) ** 2
    pixels = 3 * tower.patch**2
    result = {"patch embedding": _matrix(pixels * tower.hidden, pixels + tower.hidden, 1,
                                         patches * images)}  # fmt: skip
    for op in operations(_as_decoder(tower)):
        work = _work(op, patches, images)
        if work is not None:
            result[op.name] = result.get(op.name, Work()) + work
    rows = tower.tokens_per_image * images
    moved = tower.merge**2 * tower.hidden + arch.hidden
    return result | {"projector": _matrix(tower.projector_parameters, moved, 1, rows)}


def _tower(arch: Architecture) -> VisionEncoder:
    if arch.vision is None:
        raise InputError("the model has no image encoder; name a vision-language model")
    return arch.vision


def _as_decoder(tower: VisionEncoder) -> Architecture:
    """The tower's layers as an architecture without vocabulary, for their operations."""
    return Architecture(tower.hidden, 0, tower.layers, True, 0)


def _matrix(parameters: int, moved: int, count: int, rows: Scalar) -> Work:
    return Work(
        flop=2.0 * rows * parameters, weight_bytes=parameters * _BYTES,
        activation_bytes=rows * moved * _BYTES * count, kernels=count,
    )  # fmt: skip


def _work(op: Operation, patches: int, images: Scalar) -> Work | None:
    rows = patches * images
    if isinstance(op, Matmul) and not op.per_sequence:
        return _matrix(op.parameters, op.k + op.n + op.grouped_n, op.count, rows)
    if isinstance(op, Attend) and isinstance(op.mixer, Attention):
        mixer = op.mixer
        seen = min(mixer.window, patches) if mixer.window else patches
        wide = mixer.head_dim + mixer.value_head_dim
        return Work(
            flop=2.0 * rows * seen * mixer.heads * wide * op.count,
            activation_bytes=2.0 * rows * mixer.heads * wide * _BYTES * op.count,
            kernels=op.count,
        )
    if isinstance(op, Elementwise) and op.name != "embedding":
        moved = rows * op.values * _BYTES * op.count
        return Work(flop=rows * op.flop * op.count, activation_bytes=moved, kernels=op.count)
    if isinstance(op, ExpertBlock):
        raise InputError("an image encoder with routed experts is not modelled")
    return None
