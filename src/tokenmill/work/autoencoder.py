"""Image decoders: from the latent of a diffusion model to pixels.

`AutoencoderKL` of Rombach et al. 2022, doi:10.1109/CVPR52688.2022.01042, with 4 latent channels
(Stable Diffusion) or 16 (SD3, FLUX.1); `AutoencoderDC` is `linear_transformer.deep_decoder`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenmill.work.network import Kernel, Network, attend, convolve, elementwise, linear, stored
from tokenmill.work.unet import group_norm, resnet

__all__ = ["decoder", "shrink"]


def shrink(facts: Mapping[str, Any]) -> int:
    """Image pixels along a side that become one latent pixel."""
    deep = facts.get("decoder_block_out_channels")
    stages: Sequence[int] = deep if deep else facts["block_out_channels"]
    return int(2 ** (len(stages) - 1))


def decoder(facts: Mapping[str, Any], width: float, height: float) -> Network:
    """Decoding one latent, untiled.

    Parameters: facts of an `AutoencoderKL` config; width, height of the latent [latent pixels].
    Returns: the network, per image; its stored values include the encoder.
    """
    channels: Sequence[int] = facts["block_out_channels"]
    latent, per_block = int(facts["latent_channels"]), int(facts.get("layers_per_block", 2))
    pixels, top = width * height, channels[-1]
    kernels = [
        convolve(pixels, latent, top),
        *resnet(pixels, top, top) * 2,
        *_attention(pixels, top),
    ]
    if facts.get("use_post_quant_conv", True):
        kernels.append(convolve(pixels, latent, latent, size=1))
    now = top
    for level, width_out in enumerate(reversed(channels)):
        for _ in range(per_block + 1):
            kernels += resnet(pixels, now, width_out)
            now = width_out
        if level < len(channels) - 1:
            kernels.append(elementwise(5 * pixels * now, 1, 5 * pixels * now))
            pixels *= 4
            kernels.append(convolve(pixels, now, now))
    kernels += [
        group_norm(pixels, now, silu=True),
        convolve(pixels, now, int(facts.get("out_channels", 3))),
    ]
    return Network("decoder", tuple(kernels), _encoder_values(facts))


def _attention(pixels: float, channels: int) -> list[Kernel]:
    """Self-attention with one head over all latent pixels."""
    values = pixels * channels
    return [
        group_norm(pixels, channels, silu=False),
        linear(pixels, channels, channels, count=4),
        attend(pixels, pixels, 1, channels),
        elementwise(9 * values, 5, 5 * values, 2),
    ]


def _encoder_values(facts: Mapping[str, Any]) -> float:
    """Learned values of the encoder, which making an image from text never runs."""
    channels: Sequence[int] = facts["block_out_channels"]
    latent, top = int(facts["latent_channels"]), channels[-1]
    kernels = [convolve(1, int(facts.get("in_channels", 3)), channels[0])]
    now = channels[0]
    for level, width_out in enumerate(channels):
        for _ in range(int(facts.get("layers_per_block", 2))):
            kernels += resnet(1, now, width_out)
            now = width_out
        if level < len(channels) - 1:
            kernels.append(convolve(1, now, now))
    kernels += [*resnet(1, top, top) * 2, *_attention(1, top), group_norm(1, top, silu=True)]
    kernels.append(convolve(1, top, 2 * latent))
    if facts.get("use_quant_conv", True):
        kernels.append(convolve(1, 2 * latent, 2 * latent, size=1))
    return stored(kernels)
