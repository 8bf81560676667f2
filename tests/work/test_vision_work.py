"""The image encoder's work against hand formulas and a published count."""

from __future__ import annotations

import numpy as np
import pytest

from tokenmill.errors import InputError
from tokenmill.work.ops import Work
from tokenmill.work.parameters import parameters
from tokenmill.work.vision_work import image_tokens, picture_tokens, vision_work
from work.models import SLUGS, arch

SEEING = [slug for slug in SLUGS if arch(slug).vision]


def test_siglip_of_gemma_3_by_hand() -> None:
    """27 layers, 1,152 wide, on 64 x 64 patches of 14 x 14 pixels (arXiv:2503.19786)."""
    work = vision_work(arch("gemma-3-27b"))
    patches, wide, inner = 64 * 64, 1152, 4304
    assert work["patch embedding"].flop == 2 * patches * 3 * 14 * 14 * wide
    assert work["qkv"].flop + work["attention out"].flop == 27 * 2 * patches * 4 * wide**2
    assert work["attention"].flop == 27 * 4 * patches**2 * wide  # no mask: all pairs
    assert work["mlp up"].flop + work["mlp down"].flop == 27 * 2 * patches * 2 * wide * inner
    assert work["projector"].flop == pytest.approx(2 * 256 * wide * 5376, rel=1e-3)
    assert image_tokens(arch("gemma-3-27b"), 3) == 768


def test_clip_vit_l_14_at_336_pixels_as_published() -> None:
    """191 billion multiply-adds (the count that the timm model table gives)."""
    work = vision_work(arch("llava-1.5-7b"))
    tower = sum((one for name, one in work.items() if name != "projector"), Work())
    assert tower.flop / 2e9 == pytest.approx(191.1, rel=0.01)
    assert image_tokens(arch("llava-1.5-7b")) == 576


@pytest.mark.parametrize("slug", SEEING)
def test_weights_are_the_tower_and_its_projector(slug: str) -> None:
    model = arch(slug)
    read = sum(vision_work(model).values(), Work()).weight_bytes
    # positions, norms and biases are the rest
    assert 0.9 < read / (2 * parameters(model).vision) <= 1.0
    assert image_tokens(model) > 0


def test_work_grows_with_the_images_and_weights_do_not() -> None:
    one, many = (
        sum(vision_work(arch("qwen3-vl-8b"), n).values(), Work()) for n in (1.0, np.array([1, 4.0]))
    )
    assert many.flop.tolist() == [one.flop, 4 * one.flop]
    assert many.weight_bytes == one.weight_bytes
    assert (many.activation_bytes > 0).all()


def test_models_without_eyes_are_refused() -> None:
    with pytest.raises(InputError, match="no image encoder"):
        vision_work(arch("llama-3.1-8b"))


@pytest.mark.parametrize(
    ("model", "size", "tokens"),
    [
        ("gemma-3-12b", (4000, 3000), 256),  # scaled to one tile
        ("llava-1.5-7b", (640, 480), 576),
        ("qwen3-vl-8b", (1120, 768), 35 * 24),  # squares of 32 pixels
        ("llama-4-scout", (1120, 768), (12 + 1) * 144),  # tiles of 336 pixels and the whole
        ("llama-4-scout", (4000, 3000), 17 * 144),
        ("llama3-llava-next-8b", (640, 480), 5 * 576),
        ("phi-3-vision-128k", (640, 480), (12 + 1) * 144),  # scaled up to four tiles across
    ],
)
def test_pictures_become_tokens_as_each_model_reads_them(
    model: str, size: tuple[int, int], tokens: int
) -> None:
    tower = arch(model).vision
    assert tower is not None
    assert picture_tokens(tower, *size) == tokens
