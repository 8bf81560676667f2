"""Sana: a denoiser with linear attention, and the deep decoder behind it, as kernels.

Xie et al. 2024, arXiv:2410.10629 (Sana); Chen et al. 2024, arXiv:2410.10733 (DC-AE, one latent
pixel for 32 x 32). Facts carry the names of the diffusers configs. Linear attention multiplies
keys with values first, in FP32: it is bound by memory, so it is counted as passes over the
activations, as are convolutions of one channel each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tokenmill.work.network import Kernel, Network, attend, convolve, elementwise, linear, stored

__all__ = ["deep_decoder", "linear_transformer"]

_RMS, _RMS_LAUNCHES = 17.0, 8.0  # passes over 16-bit values of a norm in FP32, and its kernels


def linear_transformer(
    facts: Mapping[str, Any], width: float, height: float, context_tokens: float
) -> Network:
    """One pass of a `SanaTransformer2DModel` over one sample.

    Parameters: facts of its config; width, height of the latent [latent pixels];
    context_tokens [tokens] of the prompt.
    Returns: the network, per sample.
    """
    across = int(facts["num_attention_heads"]) * int(facts["attention_head_dim"])
    patch, captions = int(facts["patch_size"]), int(facts["caption_channels"])
    rows = width * height / patch**2
    block = _block(facts, rows, across, context_tokens)
    kernels = [kernel.times(int(facts["num_layers"])) for kernel in block]
    kernels += [
        convolve(rows, int(facts["in_channels"]), across, size=patch, stride=patch),
        elementwise(14 * across, 11, across, weights=2 * across),
        linear(1, 256, across),
        linear(1, across, across),
        linear(1, across, 6 * across),
        linear(context_tokens, captions, across),
        linear(context_tokens, across, across),
        elementwise(_RMS * context_tokens * across, _RMS_LAUNCHES, 2 * context_tokens * across,
                    weights=across),
        elementwise(6 * rows * across, 4, 2 * rows * across),
        linear(rows, across, patch**2 * int(facts["out_channels"])),
    ]  # fmt: skip
    return Network("denoiser", tuple(kernels))


def _block(
    facts: Mapping[str, Any], rows: float, width: int, context_tokens: float
) -> list[Kernel]:
    """Linear self-attention, cross-attention, and a gated feed-forward of convolutions."""
    values = rows * width
    heads = int(facts["num_cross_attention_heads"])
    inner = int(facts["mlp_ratio"] * width)
    kernels = [
        elementwise(6 * values, 4, 2 * values, weights=6 * width),
        linear(rows, width, width, bias=False, count=3),
        linear(rows, width, width),
        linear_attention(rows, width, int(facts["attention_head_dim"])),
        elementwise(5 * values, 2, 3 * values),
        linear(rows, width, width, count=2),
        linear(context_tokens, width, width, count=2),
        attend(rows, context_tokens, heads, width // heads),
        elementwise(5 * values, 2, 3 * values),
        elementwise(6 * values, 4, 2 * values),
        *_gated_convolutions(rows, width, inner),
        elementwise(7 * values, 3, 3 * values),  # back to rows, gate, residual
    ]
    if facts.get("qk_norm"):  # over all heads; the keys of the prompt are few
        kernels.append(
            elementwise(3 * _RMS * values, 4 * _RMS_LAUNCHES, 6 * values, 3, weights=4 * width)
        )
    return kernels


def linear_attention(rows: float, width: int, head_dim: int) -> Kernel:
    """ReLU attention in FP32: casts, two small products per head, the division, the cast back.

    GPUs that share a sample swap it for the attention and again for the convolutions.
    """
    values = rows * width
    moved = elementwise(36 * values, 14, 8 * values, 3)
    return replace(moved, flop=4.0 * values * (head_dim + 1), exchanged=8.0 * values)


def _gated_convolutions(rows: float, width: int, inner: int) -> list[Kernel]:
    """Point-wise to twice `inner`, a 3 x 3 of one channel each, gate, point-wise back."""
    wide = rows * inner
    return [
        convolve(rows, width, 2 * inner, size=1),
        elementwise(4 * wide, 1, 0, 0),  # SiLU
        replace(
            elementwise(4 * wide, 1, 4 * wide, weights=20 * inner), flop=2.0 * 9 * 2 * wide
        ),
        elementwise(5 * wide, 2, 3 * wide),  # SiLU of one half, times the other
        _unbiased(convolve(rows, inner, width, size=1), width),
    ]  # fmt: skip


def _unbiased(kernel: Kernel, outputs: int) -> Kernel:
    return replace(kernel, weights=kernel.weights - outputs)


# -- DC-AE ------------------------------------------------------------------------------------


def deep_decoder(facts: Mapping[str, Any], width: float, height: float) -> Network:
    """Decoding one latent of an `AutoencoderDC`, untiled.

    Parameters: facts of its config; width, height of the latent [latent pixels].
    Returns: the network, per image; its stored values include the encoder.
    """
    channels: Sequence[int] = facts["decoder_block_out_channels"]
    layers: Sequence[int] = facts["decoder_layers_per_block"]
    latent, pixels, now = int(facts["latent_channels"]), width * height, channels[-1]
    kernels = [convolve(pixels, latent, now), elementwise(5 * pixels * now, 2, 3 * pixels * now)]
    for level in reversed(range(len(channels))):
        if level < len(channels) - 1:
            pixels *= 4
            kernels.append(convolve(pixels, now, channels[level]))
            grown = pixels * channels[level]
            kernels.append(elementwise(6 * grown, 4, 4 * grown))  # enlarged, plus a shortcut
            now = channels[level]
        kernels += _stage(facts["decoder_block_types"][level], pixels, now) * layers[level]
    kernels += [_norm(pixels, now), elementwise(2 * pixels * now, 1, 0, 0)]
    kernels.append(convolve(pixels, now, int(facts.get("in_channels", 3))))
    return Network("decoder", tuple(kernels), _encoder_values(facts))


def _stage(kind: str, pixels: float, channels: int) -> list[Kernel]:
    """One block: two convolutions, or multi-scale linear attention and gated convolutions."""
    values = pixels * channels
    if kind == "ResBlock":
        return [
            convolve(pixels, channels, channels),
            elementwise(2 * values, 1, 2 * values),
            _unbiased(convolve(pixels, channels, channels), channels),
            _norm(pixels, channels),
            elementwise(3 * values, 1, values),
        ]
    return [
        linear(pixels, channels, channels, bias=False, count=3),
        # a 5 x 5 of one channel each over queries, keys and values, then 32 by 32 products
        replace(elementwise(6 * values, 1, 6 * values, weights=75 * channels),
                flop=2.0 * 25 * 3 * values),
        replace(elementwise(6 * values, 1, 6 * values, weights=96 * channels),
                flop=2.0 * 96 * values),
        linear_attention(2 * pixels, channels, 32),
        linear(pixels, 2 * channels, channels, bias=False),
        _norm(pixels, channels),
        elementwise(3 * values, 1, values),
        *_gated_convolutions(pixels, channels, 4 * channels),
        _norm(pixels, channels),
        elementwise(3 * values, 1, values),
    ]  # fmt: skip


def _norm(pixels: float, channels: int) -> Kernel:
    """RMS norm over channels, which are moved last and back."""
    values = pixels * channels
    return elementwise((_RMS + 4) * values, _RMS_LAUNCHES + 2, 2 * values, weights=2 * channels)


def _encoder_values(facts: Mapping[str, Any]) -> float:
    """Learned values of the encoder, which making an image from text never runs."""
    channels: Sequence[int] = facts["encoder_block_out_channels"]
    kernels = [convolve(1, int(facts.get("in_channels", 3)), channels[0])]
    for level, width in enumerate(channels):
        blocks = _stage(facts["encoder_block_types"][level], 1, width)
        kernels += blocks * facts["encoder_layers_per_block"][level]
        if level < len(channels) - 1:
            kernels.append(convolve(1, width, channels[level + 1]))
    kernels.append(convolve(1, channels[-1], int(facts["latent_channels"])))
    return stored(kernels)
