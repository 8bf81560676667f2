"""Images: what one picture costs to make, stage by stage, before any hardware.

A picture is a prompt through the text encoders, `steps` times `guidance_passes` passes of the
denoiser over the latent, and one decoding. Classifier-free guidance runs the denoiser with and
without the prompt (Ho, Salimans 2022, arXiv:2207.12598); distilled models need one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tokenmill.errors import InputError, Unsupported
from tokenmill.work.autoencoder import decoder, shrink
from tokenmill.work.diffusion_transformer import flux, hunyuan, joint_transformer, pixart
from tokenmill.work.linear_transformer import deep_decoder, linear_transformer
from tokenmill.work.network import Network
from tokenmill.work.ops import Work
from tokenmill.work.text_encoder import text_encoder
from tokenmill.work.unet import unet

__all__ = ["ImageModel", "Picture", "image_model", "image_work"]

_Denoiser = Callable[[Mapping[str, Any], float, float, float], Network]
_DENOISERS: Mapping[str, _Denoiser] = {
    "UNet2DConditionModel": unet,
    "SD3Transformer2DModel": joint_transformer,
    "FluxTransformer2DModel": flux,
    "PixArtTransformer2DModel": pixart,
    "HunyuanDiT2DModel": hunyuan,
    "SanaTransformer2DModel": linear_transformer,
}
_DECODERS: Mapping[str, Callable[[Mapping[str, Any], float, float], Network]] = {
    "AutoencoderKL": decoder,
    "AutoencoderDC": deep_decoder,
}
_LARGEST_SIDE, _MOST_STEPS = 16384, 10_000


@dataclass(frozen=True, slots=True)
class Picture:
    """One request: width, height [pixels], denoising steps, passes per step [counts]."""

    width: int
    height: int
    steps: int
    guidance_passes: int

    @property
    def passes(self) -> int:
        """Denoiser passes over the latent [count]."""
        return self.steps * self.guidance_passes


@dataclass(frozen=True, slots=True)
class ImageModel:
    """A text-to-image model at one resolution: its networks and what its makers default to."""

    name: str
    picture: Picture
    text_encoder: Network  # all encoders together
    denoiser: Network
    decoder: Network
    family: str  # the class of the denoiser
    decodes_in_fp32: bool
    latent_tokens: float

    @property
    def parameters(self) -> float:
        """Learned values of all networks."""
        networks = (self.text_encoder, self.denoiser, self.decoder)
        return sum(network.parameters for network in networks)


def image_model(
    name: str, facts: Mapping[str, Any], *, width: int | None = None, height: int | None = None,
    steps: int | None = None, guidance_passes: int | None = None,
) -> ImageModel:  # fmt: skip
    """The networks of a text-to-image model.

    Parameters: name, for messages; facts, the `config` of its catalogue record; width, height
    [pixels], steps and guidance_passes [counts], where other than the record's defaults.
    Returns: networks counted at that resolution.
    Raises: InputError for sizes that cannot be; Unsupported for an unknown denoiser.
    """
    asked = Picture(
        _whole("width", facts["width"] if width is None else width, _LARGEST_SIDE),
        _whole("height", facts["height"] if height is None else height, _LARGEST_SIDE),
        _whole("steps", facts["steps"] if steps is None else steps, _MOST_STEPS),
        _whole("guidance passes", facts["guidance_passes"] if guidance_passes is None
               else guidance_passes, 4),
    )  # fmt: skip
    kind = facts["denoiser"].get("_class_name", "")
    if kind not in _DENOISERS:
        raise Unsupported(f"{name}: no model of a {kind or 'nameless'} denoiser; "
                          f"known: {', '.join(_DENOISERS)}")  # fmt: skip
    vae = facts["vae"]
    if (decodes := vae.get("_class_name", "")) not in _DECODERS:
        raise Unsupported(f"{name}: no model of a {decodes or 'nameless'} decoder; "
                          f"known: {', '.join(_DECODERS)}")  # fmt: skip
    across, down = asked.width / shrink(vae), asked.height / shrink(vae)
    encoders = [text_encoder(encoder) for encoder in facts["text_encoders"]]
    return ImageModel(
        name=name,
        picture=asked,
        text_encoder=Network(
            "text_encoder",
            tuple(kernel for encoder in encoders for kernel in encoder.kernels),
            sum(encoder.stored_values for encoder in encoders),
        ),
        denoiser=_DENOISERS[kind](facts["denoiser"], across, down, float(facts["context_tokens"])),
        decoder=_DECODERS[decodes](vae, across, down),
        family=kind,
        decodes_in_fp32=bool(vae.get("force_upcast", False)),
        latent_tokens=across * down / float(facts["denoiser"].get("patch_size", 1)) ** 2,
    )


def image_work(
    model: ImageModel, *, batch: int = 1, value_bytes: float = 2.0, fused: bool = False
) -> dict[str, Work]:
    """What a batch of pictures computes and moves, by stage.

    Parameters: model; batch [pictures]; value_bytes [B per weight and activation]; fused, after
    compiling.
    Returns: Work of "text", "denoise" (all steps) and "decode".
    Raises: InputError for a batch below one.
    """
    batch = _whole("batch", batch, 1_000_000)
    prompts = batch * model.picture.guidance_passes
    once = model.denoiser.work(prompts, value_bytes=value_bytes, fused=fused)
    return {
        "text": model.text_encoder.work(prompts, value_bytes=value_bytes, fused=fused),
        "denoise": once * model.picture.steps,
        "decode": model.decoder.work(batch, value_bytes=value_bytes, fused=fused),
    }


def _whole(what: str, value: float, most: int) -> int:
    """A whole number from 1 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise InputError(f"{what} must be a whole number, not {value!r}")
    if not 1 <= value <= most or value != int(value):
        raise InputError(f"{what} must be a whole number from 1 to {most}, not {value:g}")
    return int(value)
