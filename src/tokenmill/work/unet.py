"""UNet denoisers of Stable Diffusion 1.5, 2.1, XL, SSD-1B and Kolors as kernels.

Rombach et al. 2022, doi:10.1109/CVPR52688.2022.01042 (the architecture); Podell et al. 2023,
arXiv:2307.01952 (SDXL). Facts carry the names of a diffusers `UNet2DConditionModel` config.
Counts of elementwise passes follow the operators that PyTorch runs for these modules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenmill.work.network import Kernel, Network, attend, convolve, elementwise, linear

__all__ = ["group_norm", "resnet", "unet"]


@dataclass(frozen=True, slots=True)
class _Stage:
    """What the blocks of one resolution share."""

    pixels: float
    channels: int
    heads: int
    context_width: int
    context_tokens: float
    time_width: int
    linear_projection: bool


def group_norm(pixels: float, channels: int, *, silu: bool) -> Kernel:
    """Group norm (statistics, then scaling), and SiLU as a kernel of its own until fused."""
    values = pixels * channels
    return elementwise(
        values * (5 if silu else 3), 2.0 if silu else 1.0, values * 3, 2.0, weights=2 * channels
    )


def resnet(pixels: float, inputs: int, outputs: int, time_width: int = 0) -> list[Kernel]:
    """Two convolutions with norms around a skip connection, with a time embedding or without."""
    values = pixels * outputs
    kernels = [
        group_norm(pixels, inputs, silu=True),
        convolve(pixels, inputs, outputs),
        group_norm(pixels, outputs, silu=True),
        convolve(pixels, outputs, outputs),
        elementwise(values * 5, 2, values * 3),  # skip connection, then division by its scale
    ]
    if time_width:
        kernels += [
            elementwise(2 * time_width, 1, 0, 0),  # SiLU of the embedding
            linear(1, time_width, outputs),
            elementwise(values * 2, 1, 0, 0),
        ]
    if inputs != outputs:
        kernels.append(convolve(pixels, inputs, outputs, size=1))
    return kernels


def _transformer(stage: _Stage, depth: int) -> list[Kernel]:
    """Spatial transformer: projections around `depth` blocks of self-, cross-attention, GEGLU."""
    if not depth:
        return []
    rows, width = stage.pixels, stage.channels
    values, head_dim = rows * width, width // stage.heads
    norm = elementwise(values * 2, 1, values * 2, weights=2 * width, count=3)
    block = [
        norm,
        linear(rows, width, width, bias=False, count=4),  # self query, key, value; cross query
        linear(stage.context_tokens, stage.context_width, width, bias=False, count=2),
        attend(rows, rows, stage.heads, head_dim),
        attend(rows, stage.context_tokens, stage.heads, head_dim),
        linear(rows, width, width, count=2),
        elementwise(values * 13, 5, values * 7, 2),  # three residual sums, two divisions
        linear(rows, width, 8 * width),
        elementwise(values * 20, 2, values * 12),  # GELU of one half, times the other
        linear(rows, 4 * width, width),
    ]
    kernels = [kernel.times(depth) for kernel in block]
    projection = (
        linear(rows, width, width, count=2) if stage.linear_projection
        else convolve(rows, width, width, size=1).times(2)
    )  # fmt: skip
    around = elementwise(values * 7, 3, values * 5, 2)  # two layout changes and the skip
    return [group_norm(rows, width, silu=False), projection, around, *kernels]


def unet(
    facts: Mapping[str, Any], width: float, height: float, context_tokens: float
) -> Network:  # fmt: skip
    """One denoiser pass over one sample.

    Parameters: facts of a `UNet2DConditionModel`; width, height of the latent [latent pixels];
    context_tokens [tokens] of the prompt.
    Returns: the network, per sample.
    """
    channels: Sequence[int] = facts["block_out_channels"]
    levels, per_block = len(channels), int(facts.get("layers_per_block", 2))
    heads = _per_level(facts["attention_head_dim"], levels)
    down_depth = _depths(facts, per_block)
    up_depth = _up_depths(facts, down_depth, per_block)
    time_width = 4 * channels[0]

    def stage(level: int) -> _Stage:
        return _Stage(
            width * height / 4**level, channels[level], heads[level],
            int(facts["cross_attention_dim"]), context_tokens, time_width,
            bool(facts.get("use_linear_projection", False)),
        )  # fmt: skip

    kernels = _ends(facts, width * height, channels[0], context_tokens)
    skips = [channels[0]]
    now = channels[0]
    for level in range(levels):
        at = stage(level)
        for depth in down_depth[level]:
            kernels += resnet(at.pixels, now, at.channels, time_width) + _transformer(at, depth)
            now = at.channels
            skips.append(now)
        if level < levels - 1:
            kernels.append(convolve(at.pixels / 4, now, now, stride=2))
            skips.append(now)
    kernels += _middle(facts, stage(levels - 1), down_depth[-1][-1])
    for level in reversed(range(levels)):
        at = stage(level)
        for depth in up_depth[level]:
            skip = skips.pop()
            joined = at.pixels * (now + skip)
            kernels.append(elementwise(2 * joined, 1, 2 * joined))  # joins the skip connection
            kernels += resnet(at.pixels, now + skip, at.channels, time_width)
            kernels += _transformer(at, depth)
            now = at.channels
        if level:
            upsampled = at.pixels * now * 5
            kernels += [elementwise(upsampled, 1, upsampled), convolve(at.pixels * 4, now, now)]
    return Network("denoiser", tuple(kernels))


def _ends(
    facts: Mapping[str, Any], pixels: float, channels: int, context_tokens: float
) -> list[Kernel]:
    """First and last convolution, and the embeddings of time, size and pooled prompt."""
    time_width = 4 * channels
    kernels = [
        convolve(pixels, int(facts.get("in_channels", 4)), channels),
        group_norm(pixels, channels, silu=True),
        convolve(pixels, channels, int(facts.get("out_channels", 4))),
        linear(1, channels, time_width),
        linear(1, time_width, time_width),
        elementwise(8 * time_width, 8, time_width),  # sines and cosines of the time step
    ]
    if facts.get("addition_embed_type") == "text_time":
        given = int(facts["projection_class_embeddings_input_dim"])
        kernels += [
            linear(1, given, time_width),
            linear(1, time_width, time_width),
            elementwise(8 * given, 11, given),
        ]
    if facts.get("encoder_hid_dim"):
        given = int(facts["encoder_hid_dim"])
        kernels.append(linear(context_tokens, given, int(facts["cross_attention_dim"])))
    return kernels


def _middle(facts: Mapping[str, Any], at: _Stage, depth: int) -> list[Kernel]:
    """The bottom of the U: attention between two residual blocks, or one block alone."""
    if facts.get("mid_block_type", "UNetMidBlock2DCrossAttn") != "UNetMidBlock2DCrossAttn":
        return resnet(at.pixels, at.channels, at.channels, at.time_width)
    deepest = facts.get("transformer_layers_per_block", 1)
    if not isinstance(deepest, int):
        deepest = deepest[-1] if isinstance(deepest[-1], int) else depth
    pair = [*resnet(at.pixels, at.channels, at.channels, at.time_width)] * 2
    return pair + _transformer(at, deepest)


def _per_level(value: int | Sequence[int], levels: int) -> list[int]:
    return [value] * levels if isinstance(value, int) else [int(item) for item in value]


def _depths(facts: Mapping[str, Any], per_block: int) -> list[list[int]]:
    """Transformer blocks after each residual block on the way down."""
    kinds: Sequence[str] = facts["down_block_types"]
    layers = facts.get("transformer_layers_per_block", 1)
    result = []
    for level, kind in enumerate(kinds):
        here = layers if isinstance(layers, int) else layers[level]
        each = [here] * per_block if isinstance(here, int) else list(here)
        result.append(each if "CrossAttn" in kind else [0] * per_block)
    return result


def _up_depths(facts: Mapping[str, Any], down: list[list[int]], per_block: int) -> list[list[int]]:
    """Transformer blocks on the way up by level, one residual block more than on the way down."""
    stated = facts.get("reverse_transformer_layers_per_block")
    if stated is None:
        return [[depths[0]] * (per_block + 1) for depths in down]
    return [
        [item] * (per_block + 1) if isinstance(item, int) else list(item)
        for item in reversed(stated)
    ]
