"""Media networks against counts made independently from the published model classes."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from tokenmill.catalog.load import model, records
from tokenmill.errors import InputError, Unsupported
from tokenmill.work.diffusion_transformer import flux
from tokenmill.work.media import image_model, image_work
from tokenmill.work.network import Network
from tokenmill.work.text_encoder import text_encoder

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"
TABLE = SHARED / "facts" / "media_models.csv"
DENOISERS = {
    "SD1.5 UNet": "sd-1.5", "SDXL UNet": "sdxl-1.0", "SD3-medium": "sd-3-medium",
    "SD3.5-medium": "sd-3.5-medium", "SD3.5-large": "sd-3.5-large", "FLUX.1-dev": "flux.1-dev",
    "FLUX.1-schnell": "flux.1-schnell",
}  # fmt: skip
ENCODERS = {"CLIP-L": ("sd-1.5", 0), "OpenCLIP-bigG": ("sdxl-1.0", 1), "T5-XXL": ("flux.1-dev", 1)}
DECODERS = {"(SD1.5/SDXL)": "sd-1.5", "(SD3/FLUX)": "flux.1-dev"}
IMAGE_MODELS = [record.slug for record in records("models") if record.family == "image"]


def facts(slug: str) -> dict[str, Any]:
    return model(slug).config


def network(component: str) -> Network | None:
    """The network that a row of the table describes; None for another family."""
    side = re.search(r"(\d+)px", component)
    pixels = int(side[1]) if side else 1024
    for prefix, slug in DENOISERS.items():
        if component.startswith(prefix):
            return image_model(slug, facts(slug), width=pixels, height=pixels).denoiser
    for suffix, slug in DECODERS.items():
        if component.endswith(suffix):
            return image_model(slug, facts(slug), width=pixels, height=pixels).decoder
    for prefix, (slug, index) in ENCODERS.items():
        if component.startswith(prefix):
            tokens = int(re.findall(r"(\d+) tok", component)[0])
            return text_encoder({**facts(slug)["text_encoders"][index], "tokens": tokens})
    return None


def rows() -> list[dict[str, str]]:
    if not TABLE.is_file():
        return []
    with TABLE.open(encoding="utf-8") as lines:
        return [row for row in csv.DictReader(lines) if network(row["component"])]


def test_the_table_is_read(shared: Path) -> None:
    assert len(rows()) == 18


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["component"])
def test_a_pass_costs_what_was_counted(row: dict[str, str]) -> None:
    found = network(row["component"])
    assert found is not None
    stated = float(row["tflop_per_forward_batch1"]) * 1e12
    assert found.flop == pytest.approx(stated, rel=0.01)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["component"])
def test_parameters_match(row: dict[str, str]) -> None:
    found = network(row["component"])
    assert found is not None
    assert found.parameters == float(row["params"])


@pytest.mark.parametrize("slug", IMAGE_MODELS)
def test_records_count_to_what_they_state(slug: str) -> None:
    record = model(slug)
    built = image_model(slug, record.config)
    assert built.denoiser.parameters == record.published["parameters"].value
    stated = record.published["stated_parameters"].value
    assert built.denoiser.parameters == pytest.approx(stated, rel=0.12)


@pytest.mark.parametrize("slug", IMAGE_MODELS)
def test_stages_add_up(slug: str) -> None:
    built = image_model(slug, facts(slug))
    one, four = image_work(built), image_work(built, batch=4)
    for stage, work in one.items():
        assert four[stage].flop == pytest.approx(4 * work.flop)
        assert four[stage].kernels == work.kernels
        assert four[stage].weight_bytes == work.weight_bytes
    fused = image_work(built, fused=True)["denoise"]
    assert fused.kernels < one["denoise"].kernels
    assert fused.activation_bytes < one["denoise"].activation_bytes
    assert fused.flop == one["denoise"].flop


def test_guidance_doubles_the_passes_where_it_is_not_distilled() -> None:
    passes = {slug: facts(slug)["guidance_passes"] for slug in IMAGE_MODELS}
    assert {slug for slug, count in passes.items() if count == 1} == {
        "flux.1-dev", "flux.1-schnell", "sd-3.5-large-turbo", "sdxl-turbo",
    }  # fmt: skip
    guided = image_model("sdxl-1.0", facts("sdxl-1.0"), steps=20)
    plain = image_model("sdxl-1.0", facts("sdxl-1.0"), steps=20, guidance_passes=1)
    ratio = image_work(guided)["denoise"].flop / image_work(plain)["denoise"].flop
    assert ratio == pytest.approx(2.0)


def test_linear_layers_scale_with_area_and_attention_with_its_square() -> None:
    small = flux(facts("flux.1-dev")["denoiser"], 64, 64, 0)
    large = flux(facts("flux.1-dev")["denoiser"], 128, 128, 0)

    def flop(pass_: Network, kind: str) -> float:
        return sum(k.flop * k.count for k in pass_.kernels if k.kind == kind and k.values > 1e6)

    assert flop(large, "matmul") / flop(small, "matmul") == pytest.approx(4.0, rel=0.01)
    assert flop(large, "attention") / flop(small, "attention") == pytest.approx(16.0)


@pytest.mark.parametrize(
    "wrong", [{"width": 0}, {"height": -8}, {"steps": 2.5}, {"steps": float("nan")},
              {"width": 10**9}, {"guidance_passes": 0}],
)  # fmt: skip
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        image_model("sd-1.5", facts("sd-1.5"), **wrong)


def test_an_unknown_denoiser_is_refused_by_name() -> None:
    broken = {**facts("sd-1.5"), "denoiser": {"_class_name": "MagicModel"}}
    with pytest.raises(Unsupported, match="MagicModel"):
        image_model("sd-1.5", broken)


def test_networks_of_many_kinds_are_counted_as_published() -> None:
    sana = image_model("sana-1.5-1.6b", facts("sana-1.5-1.6b"))
    assert sana.denoiser.parameters == 1_604_462_752 + 20 * 4 * 2240  # and norms of queries, keys
    assert sana.decoder.parameters == pytest.approx(312.25e6, rel=1e-4)  # DC-AE f32c32
    assert sana.latent_tokens == 32 * 32
    larger = image_model("sana-1.5-4.8b", facts("sana-1.5-4.8b"))
    per_layer = (larger.denoiser.parameters - sana.denoiser.parameters) / 40
    assert sana.denoiser.parameters - 20 * per_layer < 0.05 * sana.denoiser.parameters
    assert image_model("openjourney-v4", facts("openjourney-v4")).denoiser.flop == (
        image_model("sd-1.5", facts("sd-1.5")).denoiser.flop
    )


def test_linear_attention_scales_with_the_tokens_and_not_their_square() -> None:
    small = image_model("sana-1.5-1.6b", facts("sana-1.5-1.6b"))
    large = image_model("sana-1.5-1.6b", facts("sana-1.5-1.6b"), width=2048, height=2048)
    assert 3.7 < large.denoiser.flop / small.denoiser.flop < 4.0  # the prompt stays
    full = image_model("hunyuan-dit-1.2", facts("hunyuan-dit-1.2"))
    wide = image_model("hunyuan-dit-1.2", facts("hunyuan-dit-1.2"), width=2048, height=2048)
    assert wide.denoiser.flop / full.denoiser.flop > 5.0


def test_a_decoder_nobody_counted_is_refused() -> None:
    strange = {**facts("sd-1.5"), "vae": {"_class_name": "AutoencoderTiny"}}
    with pytest.raises(Unsupported, match="AutoencoderTiny"):
        image_model("x", strange)
