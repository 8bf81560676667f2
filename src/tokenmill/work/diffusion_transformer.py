"""Transformer denoisers: MMDiT (Stable Diffusion 3, 3.5), FLUX.1, PixArt, Hunyuan as kernels.

Peebles, Xie 2023, doi:10.1109/ICCV51070.2023.00387 (adaptive norms); Esser et al. 2024,
arXiv:2403.03206 (joint attention over text and image); Chen et al. 2024, arXiv:2403.04692
(PixArt-Sigma); Li et al. 2024, arXiv:2405.08748 (Hunyuan-DiT). Facts carry the names of the
diffusers configs. Passes over the activations are counted as PyTorch runs these modules: an RMS
norm in FP32 is 17 reads or writes of 16-bit values, a rotary embedding 26; fused, a norm with
its rotation is one read and one write.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenmill.work.network import Kernel, Network, attend, convolve, elementwise, linear

__all__ = ["flux", "hunyuan", "joint_transformer", "pixart"]


def _modulate(rows: float, width: int, vectors: int, *, given: int = 0) -> list[Kernel]:
    """Layer norm, scale and shift by the embedding, whose `vectors` one small product makes."""
    values = rows * width
    return [
        elementwise(2 * (given or width), 1, 0, 0),
        linear(1, given or width, vectors * width),
        elementwise(6 * values, 4, 2 * values),
    ]


def _normalise_again(rows: float, width: int) -> Kernel:
    """The second norm of a block, modulated by vectors already at hand."""
    return elementwise(6 * rows * width, 4, 2 * rows * width)


def _residual(rows: float, width: int, *, gated: bool = True) -> Kernel:
    """Adds a branch to the stream, times its gate."""
    values = rows * width
    return elementwise((5 if gated else 3) * values, 2 if gated else 1, 3 * values)


def _feed_forward(rows: float, width: int, inner: int) -> list[Kernel]:
    return [
        linear(rows, width, inner),
        elementwise(2 * rows * inner, 1, 2 * rows * inner),
        linear(rows, inner, width),
    ]


def _query_key_norm(rows: float, width: int, head_dim: int) -> Kernel:
    """RMS norms of queries and keys, per head."""
    return elementwise(34 * rows * width, 16, 4 * rows * width, 2, weights=2 * head_dim)


def _embed(width: int, vectors: int, pooled: int) -> list[Kernel]:
    """Embeddings of time (and guidance) and of the pooled prompt: `vectors` pairs of layers."""
    kernels = [elementwise(10 * width, 9, width)]
    for given in [256] * vectors + ([pooled] if pooled else []):
        kernels += [linear(1, given, width), linear(1, width, width)]
        kernels.append(elementwise(4 * width, 2, width))
    return kernels


# -- Stable Diffusion 3 -----------------------------------------------------------------------


def joint_transformer(
    facts: Mapping[str, Any], width: float, height: float, context_tokens: float
) -> Network:
    """One pass of an `SD3Transformer2DModel` over one sample.

    Parameters: facts of its config; width, height of the latent [latent pixels];
    context_tokens [tokens] of all text encoders together.
    Returns: the network, per sample.
    """
    heads, head_dim = int(facts["num_attention_heads"]), int(facts["attention_head_dim"])
    patch, layers = int(facts["patch_size"]), int(facts["num_layers"])
    across = heads * head_dim
    image = width * height / patch**2
    dual = set(facts.get("dual_attention_layers", ()))
    values = int(facts["out_channels"])
    kernels = [
        convolve(image, int(facts["in_channels"]), across, size=patch, stride=patch),
        *_embed(across, 1, int(facts["pooled_projection_dim"])),
        linear(context_tokens, int(facts["joint_attention_dim"]), across),
        *_modulate(image, across, 2),
        linear(image, across, patch**2 * values),
        elementwise(5 * image * across, 3, 5 * image * across),
    ]
    normed = facts.get("qk_norm") == "rms_norm"
    for layer in range(layers):
        last = layer == layers - 1
        kernels += _joint_block(image, context_tokens, heads, head_dim, normed, layer in dual, last)
    return Network("denoiser", tuple(kernels))


def _joint_block(
    image: float, text: float, heads: int, head_dim: int, normed: bool, dual: bool, last: bool
) -> list[Kernel]:
    """Joint attention with separate weights for image and text; the last block drops the text."""
    width, both = heads * head_dim, image + text
    kernels = [
        *_modulate(image, width, 9 if dual else 6),
        *_modulate(text, width, 2 if last else 6),
        linear(image, width, width, count=4),
        linear(text, width, width, count=3 if last else 4),
        elementwise(6 * both * width, 3, 2 * both * width),  # joins text and image
        attend(both, both, heads, head_dim),
        _residual(image, width),
        _normalise_again(image, width),
        *_feed_forward(image, width, 4 * width),
        _residual(image, width),
    ]
    if normed:
        kernels += [_query_key_norm(image, width, head_dim), _query_key_norm(text, width, head_dim)]
    if not last:
        kernels += [_residual(text, width), _normalise_again(text, width)]
        kernels += [*_feed_forward(text, width, 4 * width), _residual(text, width)]
    if dual:  # a second attention over the image alone (SD 3.5 medium)
        kernels += [_normalise_again(image, width), linear(image, width, width, count=4)]
        kernels += [attend(image, image, heads, head_dim), _residual(image, width)]
        kernels += [_query_key_norm(image, width, head_dim)] if normed else []
    return kernels


# -- FLUX.1 -----------------------------------------------------------------------------------


def flux(
    facts: Mapping[str, Any], width: float, height: float, context_tokens: float
) -> Network:  # fmt: skip
    """One pass of a `FluxTransformer2DModel` over one sample; as `joint_transformer`."""
    heads, head_dim = int(facts["num_attention_heads"]), int(facts["attention_head_dim"])
    across = heads * head_dim
    image = width * height / 4  # latent pixels are packed two by two
    guided = bool(facts.get("guidance_embeds", False))
    both, given = image + context_tokens, int(facts["in_channels"])
    kernels = [
        linear(image, given, across),
        linear(context_tokens, int(facts["joint_attention_dim"]), across),
        *_embed(across, 2 if guided else 1, int(facts["pooled_projection_dim"])),
        elementwise(40 * both * head_dim, 60, 2 * both * head_dim),  # tables of rotations
        *_modulate(image, across, 2),
        linear(image, across, given),
    ]
    block = _double_block(image, context_tokens, heads, head_dim)
    kernels += [kernel.times(int(facts["num_layers"])) for kernel in block]
    block = _single_block(both, heads, head_dim)
    kernels += [kernel.times(int(facts["num_single_layers"])) for kernel in block]
    return Network("denoiser", tuple(kernels))


def _rotate(rows: float, width: int) -> Kernel:
    """Rotary embedding of queries and keys; fused, it rides on their norm."""
    return elementwise(52 * rows * width, 18, 0, 0)


def _double_block(image: float, text: float, heads: int, head_dim: int) -> list[Kernel]:
    """Separate weights for image and text, one attention over both."""
    width, both = heads * head_dim, image + text
    kernels = [
        elementwise(6 * both * width, 3, 2 * both * width),
        _rotate(both, width),
        attend(both, both, heads, head_dim),
    ]
    for rows in (image, text):
        kernels += [
            *_modulate(rows, width, 6),
            linear(rows, width, width, count=4),
            _query_key_norm(rows, width, head_dim),
            _residual(rows, width),
            _normalise_again(rows, width),
            *_feed_forward(rows, width, 4 * width),
            _residual(rows, width),
        ]
    return kernels


def _single_block(rows: float, heads: int, head_dim: int) -> list[Kernel]:
    """Attention and feed-forward side by side, one output product over both."""
    width = heads * head_dim
    values = rows * width
    return [
        *_modulate(rows, width, 3),
        linear(rows, width, width, count=3),
        linear(rows, width, 4 * width),
        elementwise(8 * values, 1, 8 * values),
        _query_key_norm(rows, width, head_dim),
        _rotate(rows, width),
        attend(rows, rows, heads, head_dim),
        elementwise(10 * values, 1, 2 * values),  # joins both branches
        linear(rows, 5 * width, width),
        _residual(rows, width),
        elementwise(4 * values, 2, 0, 0),  # text and image joined and split again
    ]


# -- PixArt-Sigma -----------------------------------------------------------------------------


def pixart(
    facts: Mapping[str, Any], width: float, height: float, context_tokens: float
) -> Network:  # fmt: skip
    """One pass of a `PixArtTransformer2DModel` over one sample; as `joint_transformer`."""
    heads, head_dim = int(facts["num_attention_heads"]), int(facts["attention_head_dim"])
    patch, across = int(facts["patch_size"]), heads * head_dim
    rows = width * height / patch**2
    block = [
        elementwise(6 * across, 2, 0, 0, weights=6 * across),  # the block's own modulation
        _normalise_again(rows, across),
        linear(rows, across, across, count=4),
        attend(rows, rows, heads, head_dim),
        _residual(rows, across),
        linear(rows, across, across, count=2),
        linear(context_tokens, across, across, count=2),
        attend(rows, context_tokens, heads, head_dim),
        _residual(rows, across, gated=False),
        _normalise_again(rows, across),
        *_feed_forward(rows, across, 4 * across),
        _residual(rows, across),
    ]
    kernels = [kernel.times(int(facts["num_layers"])) for kernel in block]
    kernels += [
        convolve(rows, int(facts["in_channels"]), across, size=patch, stride=patch),
        *_embed(across, 1, 0),
        linear(1, across, 6 * across),
        linear(context_tokens, int(facts["caption_channels"]), across),
        linear(context_tokens, across, across),
        elementwise(2 * across, 2, 0, 0, weights=2 * across),
        _normalise_again(rows, across),
        linear(rows, across, patch**2 * int(facts["out_channels"])),
    ]
    return Network("denoiser", tuple(kernels))


# -- Hunyuan-DiT ------------------------------------------------------------------------------


def hunyuan(
    facts: Mapping[str, Any], width: float, height: float, context_tokens: float
) -> Network:  # fmt: skip
    """One pass of a `HunyuanDiT2DModel` (1.2 and later) over one sample; as `joint_transformer`."""
    heads, head_dim = int(facts["num_attention_heads"]), int(facts["attention_head_dim"])
    patch, layers = int(facts["patch_size"]), int(facts["num_layers"])
    across, captions = heads * head_dim, int(facts["cross_attention_dim"])
    rows, t5 = width * height / patch**2, int(facts["cross_attention_dim_t5"])
    outputs = int(facts["in_channels"]) * (2 if facts.get("learn_sigma", True) else 1)
    joined = elementwise(4 * rows * across, 1, 4 * rows * across)
    kernels = [k.times(layers) for k in _hunyuan_block(facts, rows, across, context_tokens)]
    skips = [joined, _norm_in_fp32(rows, 2 * across), linear(rows, 2 * across, across)]
    kernels += [kernel.times(layers - layers // 2 - 1) for kernel in skips]
    pooled, t5_tokens = int(facts["pooled_projection_dim"]), float(facts["text_len_t5"])
    kernels += [
        convolve(rows, int(facts["in_channels"]), across, size=patch, stride=patch),
        linear(t5_tokens, t5, 4 * t5),
        linear(t5_tokens, 4 * t5, captions),
        elementwise(6 * t5_tokens * captions, 6, 0, 0, weights=context_tokens * captions),
        # one query gathers the prompt (attention pooling), then the time step joins
        linear(t5_tokens + 1, t5, t5, count=2),
        linear(1, t5, t5),
        elementwise(4 * t5_tokens * t5, 4, 0, 0, weights=(t5_tokens + 1) * t5),
        linear(1, t5, pooled),
        linear(1, 256, across),
        linear(1, across, across),
        linear(1, pooled, 4 * across),
        linear(1, 4 * across, across),
        *_modulate(rows, across, 2),
        linear(rows, across, patch**2 * outputs),
    ]
    return Network("denoiser", tuple(kernels))


def _hunyuan_block(
    facts: Mapping[str, Any], rows: float, width: int, context_tokens: float
) -> list[Kernel]:
    """Rotated self-attention, cross-attention, feed-forward; norms in FP32."""
    heads, head_dim = int(facts["num_attention_heads"]), int(facts["attention_head_dim"])
    values = rows * width
    normed = elementwise(4 * values, 2, 4 * values, weights=2 * head_dim)
    return [
        linear(1, width, width),  # shift by the time step
        elementwise(3 * values, 2, values),
        _norm_in_fp32(rows, width).times(3),
        linear(rows, width, width, count=4),
        normed.times(2),
        _rotate(rows, width),
        attend(rows, rows, heads, head_dim),
        linear(rows, width, width, count=2),
        linear(context_tokens, int(facts["cross_attention_dim"]), width, count=2),
        normed.times(2),
        elementwise(26 * values, 9, 0, 0),  # the queries are rotated again
        attend(rows, context_tokens, heads, head_dim),
        _residual(rows, width, gated=False).times(3),
        *_feed_forward(rows, width, int(width * float(facts["mlp_ratio"]))),
    ]


def _norm_in_fp32(rows: float, width: int) -> Kernel:
    """Layer norm between a cast to FP32 and a cast back."""
    values = rows * width
    return elementwise(10 * values, 3, 2 * values, weights=2 * width)
