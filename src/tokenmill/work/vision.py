"""The image tower and projector of a vision-language model, from its Hugging Face facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tokenmill.work.architecture import Attention, Dense, Layer, VisionEncoder
from tokenmill.work.facts import Facts

__all__ = ["vision_encoder"]

_DEEPSTACK = "deepstack_visual_indexes"
_MERGE = "merge_kernel_size"


def vision_encoder(outer: Facts, text_hidden: int) -> VisionEncoder | None:
    """The image tower that a configuration holds beside its language model.

    Parameters: outer, facts of the whole configuration; text_hidden, width of the decoder.
    Returns: the encoder, or None where the configuration has no vision_config.
    Raises: BadRecord for a tower that is not modelled.
    """
    if not outer.has("vision_config"):
        return None
    name = outer.text("model_type")
    if name not in _TOWERS:
        outer.refuse(
            "vision_config",
            f'the image tower of "{name[:40]}" is not modelled; '
            "remove vision_config to count the language model alone",
        )
    return _TOWERS[name](outer, outer.section("vision_config"), text_hidden)


def _layers(
    facts: Facts, hidden: int, *, gated: bool = False, bias: bool = True, shift: bool = True,
    norms: int = 2, qk_norm: bool = False,
) -> tuple[Layer, ...]:  # fmt: skip
    """Equal layers of full attention without a mask."""
    heads = facts.count("num_attention_heads", "num_heads", "vt_num_attention_heads")
    if hidden % heads:
        facts.refuse("num_attention_heads", f"{heads} does not divide hidden size {hidden}")
    dim = facts.count("head_dim", default=hidden // heads)
    scales = 2 * dim if qk_norm else 0
    mixer = Attention(heads, heads, dim, dim, qkv_bias=bias, out_bias=bias, qk_norm=scales)
    block = Dense(facts.count("intermediate_size", "vt_intermediate_size"), gated, bias)
    number = facts.count("num_hidden_layers", "depth", "vt_num_hidden_layers", most=2_000)
    return (Layer(mixer, block, norms * hidden * (2 if shift else 1), number),)


def _patches(facts: Facts, default: int) -> tuple[int, int, int]:
    """(patch side [pixel], image side [pixel], patches in an image)."""
    patch = facts.count("patch_size", most=1_000)
    image = facts.count("image_size", default=default, most=100_000)
    if image < patch:
        facts.refuse("patch_size", f"{patch} is larger than the image of {image} pixels")
    return patch, image, (image // patch) ** 2


def _linear(inward: int, outward: int, bias: bool = True) -> int:
    return inward * outward + outward * bias


def _clip(outer: Facts, facts: Facts, text_hidden: int) -> VisionEncoder:
    """CLIP tower and a projector of two layers (LLaVA 1.5 and NeXT; arXiv:2310.03744)."""
    hidden = facts.count("hidden_size")
    patch, image, patches = _patches(facts, 336)
    inward = 3 * patch * patch * hidden + hidden  # patch embedding and class token
    newline = text_hidden if outer.text("model_type") == "llava_next" else 0
    return VisionEncoder(
        layers=_layers(facts, hidden),
        hidden=hidden,
        patch=patch,
        image=image,
        merge=1,
        projector_parameters=_linear(hidden, text_hidden) + _linear(text_hidden, text_hidden),
        extra_parameters=inward + (patches + 1) * hidden + 4 * hidden + newline,
        tokens_per_image=patches,
        tiles=5 if outer.text("model_type") == "llava_next" else 1,
    )


def _gemma3(outer: Facts, facts: Facts, text_hidden: int) -> VisionEncoder:
    """SigLIP tower, averaged to a fixed number of tokens (arXiv:2503.19786)."""
    hidden = facts.count("hidden_size")
    patch, image, patches = _patches(facts, 896)
    tokens = outer.count("mm_tokens_per_image", default=256)
    return VisionEncoder(
        layers=_layers(facts, hidden),
        hidden=hidden,
        patch=patch,
        image=image,
        merge=max(1, round((patches / tokens) ** 0.5)),
        projector_parameters=hidden * text_hidden + hidden,
        extra_parameters=(3 * patch * patch + 1 + patches + 2) * hidden,
        tokens_per_image=tokens,
    )


def _pixtral(outer: Facts, facts: Facts, text_hidden: int) -> VisionEncoder:
    """Pixtral tower: gated blocks, rotary positions, 2 x 2 patches merged (arXiv:2410.07073)."""
    hidden = facts.count("hidden_size")
    patch, image, patches = _patches(facts, 1540)
    merge = outer.count("spatial_merge_size", default=2, most=100)
    bias = outer.flag("multimodal_projector_bias")
    merged = _linear(merge * merge * hidden, hidden, False) + hidden
    return VisionEncoder(
        layers=_layers(facts, hidden, gated=True, bias=False, shift=False),
        hidden=hidden,
        patch=patch,
        image=image,
        merge=merge,
        projector_parameters=merged
        + _linear(hidden, text_hidden, bias)
        + _linear(text_hidden, text_hidden, bias),
        extra_parameters=3 * patch * patch * hidden + hidden,
        tokens_per_image=patches // merge**2,
        tiles=0,
    )


def _qwen(outer: Facts, facts: Facts, text_hidden: int) -> VisionEncoder:
    """Qwen3-VL tower; deepstack feeds features of some layers in again (arXiv:2511.21631)."""
    hidden = facts.count("hidden_size")
    patch, _, _ = _patches(facts, 1024)
    merge = facts.count("spatial_merge_size", default=2, most=100)
    frames = facts.count("temporal_patch_size", default=2, most=100)
    positions = facts.count("num_position_embeddings")
    out = facts.count("out_hidden_size", default=text_hidden)
    wide = merge * merge * hidden
    merger = _linear(wide, wide) + _linear(wide, out)
    deep = len(facts.counts(_DEEPSTACK)) if facts.has(_DEEPSTACK) else 0
    image = round(positions**0.5) * patch
    return VisionEncoder(
        layers=_layers(facts, hidden),
        hidden=hidden,
        patch=patch,
        image=image,
        merge=merge,
        projector_parameters=merger + 2 * hidden + deep * (merger + 2 * wide),
        extra_parameters=_linear(3 * frames * patch * patch, hidden) + positions * hidden,
        tokens_per_image=(image // patch // merge) ** 2,
        tiles=0,
    )


def _qwen2_5(outer: Facts, facts: Facts, text_hidden: int) -> VisionEncoder:
    """Qwen2.5-VL tower: gated blocks, mostly windowed attention (arXiv:2502.13923)."""
    hidden = facts.count("hidden_size")
    patch, image, patches = _patches(facts, 1036)
    merge = facts.count("spatial_merge_size", default=2, most=100)
    frames = facts.count("temporal_patch_size", default=2, most=100)
    wide = merge * merge * hidden
    out = facts.count("out_hidden_size", default=text_hidden)
    return VisionEncoder(
        layers=_layers(facts, hidden, gated=True, shift=False),
        hidden=hidden,
        patch=patch,
        image=image,
        merge=merge,
        projector_parameters=_linear(wide, wide) + _linear(wide, out) + hidden,
        extra_parameters=3 * frames * patch * patch * hidden,
        tokens_per_image=patches // merge**2,
        tiles=0,
    )


def _llama4(outer: Facts, facts: Facts, text_hidden: int) -> VisionEncoder:
    """Llama 4 tower: tiles of 336 pixels, pixel shuffle, adapter of two matrices."""
    hidden = facts.count("hidden_size")
    patch, image, patches = _patches(facts, 336)
    merge = round(1 / facts.number("pixel_shuffle_ratio", default=0.5, most=1))
    inward = facts.count("projector_input_dim")
    outward = facts.count("projector_output_dim")
    adapter = merge * merge * hidden * inward + inward * outward
    return VisionEncoder(
        layers=_layers(facts, hidden),
        hidden=hidden,
        patch=patch,
        image=image,
        merge=merge,
        projector_parameters=adapter + facts.count("vision_output_dim") * text_hidden,
        extra_parameters=(3 * patch * patch + 1 + patches + 1 + 4) * hidden,
        tokens_per_image=patches // merge**2,
        tiles=17,
    )


def _gemma4(outer: Facts, facts: Facts, text_hidden: int) -> VisionEncoder:
    """Gemma 4 tower: gated blocks with four norms, averaged over squares of patches."""
    hidden = facts.count("hidden_size")
    patch = facts.count("patch_size", most=1_000)
    merge = facts.count("pooling_kernel_size", default=3, most=100)
    tokens = outer.count("vision_soft_tokens_per_image", default=280)
    positions = facts.count("position_embedding_size", default=10240)
    return VisionEncoder(
        layers=_layers(facts, hidden, gated=True, bias=False, shift=False, norms=4, qk_norm=True),
        hidden=hidden,
        patch=patch,
        image=round(tokens**0.5 * merge) * patch,
        merge=merge,
        projector_parameters=hidden * text_hidden,
        extra_parameters=3 * patch * patch * hidden + 2 * positions * hidden,
        tokens_per_image=tokens,
    )


def _moonvit(outer: Facts, facts: Facts, text_hidden: int) -> VisionEncoder:
    """MoonViT tower of Kimi K2.5: native resolution, 2 x 2 patches merged."""
    hidden = facts.count("vt_hidden_size", "hidden_size")
    patch = facts.count("patch_size", most=1_000)
    side = facts.count("init_pos_emb_height", default=64, most=10_000)
    across = facts.count("init_pos_emb_width", default=64, most=10_000)
    merge = (facts.counts(_MERGE, least=1) or [2])[0] if facts.has(_MERGE) else 2
    wide = merge * merge * hidden
    return VisionEncoder(
        layers=_layers(facts, hidden),
        hidden=hidden,
        patch=patch,
        image=side * patch,
        merge=merge,
        projector_parameters=2 * hidden + _linear(wide, wide) + _linear(wide, text_hidden),
        extra_parameters=(3 * patch * patch + 1 + side * across + 2) * hidden,
        tokens_per_image=(side // merge) * (across // merge),
        tiles=0,
    )


def _phi3_v(outer: Facts, facts: Facts, text_hidden: int) -> VisionEncoder:
    """CLIP tower whose 2 x 2 patches merge before a projector of two layers (arXiv:2404.14219)."""
    plain = _clip(outer, facts, text_hidden)
    wide = 4 * plain.hidden
    return replace(
        plain,
        merge=2,
        projector_parameters=_linear(wide, text_hidden) + _linear(text_hidden, text_hidden),
        extra_parameters=plain.extra_parameters + 2 * wide,  # separators of rows and tiles
        tokens_per_image=plain.tokens_per_image // 4,
        tiles=17,
        enlarged=True,
    )


_TOWERS: Mapping[str, Callable[[Facts, Facts, int], VisionEncoder]] = {
    "llava": _clip,
    "llava_next": _clip,
    "gemma3": _gemma3,
    "mistral3": _pixtral,
    "qwen2_5_vl": _qwen2_5,
    "qwen3_vl": _qwen,
    "qwen3_vl_moe": _qwen,
    "qwen3_5": _qwen,
    "qwen3_5_moe": _qwen,
    "qwen3_omni_moe_thinker": _qwen,
    "llama4": _llama4,
    "gemma4": _gemma4,
    "kimi_k25": _moonvit,
    "phi3_v": _phi3_v,
}
