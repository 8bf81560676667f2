"""Memory of image models: what must be resident, and what is fetched where it does not fit.

Three ways, tried in turn: all networks stay on the GPU; each network is fetched when its turn
comes ("model offload"); the denoiser's weights stream through at every step ("sequential
offload").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tokenmill.errors import DoesNotFit
from tokenmill.work.media import ImageModel

__all__ = ["Residency", "residency"]

_CONTEXT_BYTES = 0.6e9  # CUDA context and libraries
_DECODER_TENSORS = 4.0  # of 256 channels at full size, alive at once while decoding one image
_DECODER_CHANNELS = 256
_DENOISER_TENSORS = 4.0  # bytes alive per value that the widest product moves
_OTHER_BYTES = 2.0  # text encoders and decoder stay in 16 bits


@dataclass(frozen=True, slots=True)
class Residency:
    """How weights are held.

    needs_bytes of the way chosen, has_bytes [B]; whole_bytes, with everything resident;
    weights_bytes on the GPU at once; fetched_bytes once a batch and streamed_bytes once a step
    [B] over the host link.
    """

    way: Literal["resident", "by network", "by layer"]
    needs_bytes: float
    has_bytes: float
    whole_bytes: float
    weights_bytes: float
    fetched_bytes: float
    streamed_bytes: float

    @property
    def context_bytes(self) -> float:
        """What the driver and its libraries take [B]."""
        return _CONTEXT_BYTES

    @property
    def fits(self) -> bool:
        """Whether everything stays on the GPU."""
        return self.way == "resident"


def residency(
    model: ImageModel, batch: int, weight_bytes: float, has_bytes: float, *, offload: bool = True
) -> Residency:
    """The fastest way to hold a model in a GPU's memory.

    Parameters: model; batch [images]; weight_bytes [B per weight of the denoiser]; has_bytes
    [B]; offload, whether the host's memory may help.
    Raises: DoesNotFit, with what would fit.
    """
    denoiser = model.denoiser.parameters * weight_bytes
    beside = max(_OTHER_BYTES, 4.0 if weight_bytes == 4.0 else 0.0)
    text = model.text_encoder.parameters * beside
    decoder = model.decoder.parameters * beside
    pixels = model.picture.width * model.picture.height
    value_bytes = 4.0 if model.decodes_in_fp32 else 2.0
    decoding = _DECODER_TENSORS * _DECODER_CHANNELS * pixels * value_bytes
    samples = batch * model.picture.guidance_passes
    products = [k for kind, k in model.denoiser.columns.items() if kind != "elementwise"]
    widest = max(float(k.values.max()) for k in products)
    denoising = _DENOISER_TENSORS * widest * samples
    everything = denoiser + text + decoder
    whole = everything + max(decoding, denoising) + _CONTEXT_BYTES
    if whole <= has_bytes:
        return Residency("resident", whole, has_bytes, whole, everything, 0.0, 0.0)
    by_network = max(text, denoiser + denoising, decoder + decoding) + _CONTEXT_BYTES
    if offload and by_network <= has_bytes:
        largest = max(text, denoiser, decoder)
        return Residency("by network", by_network, has_bytes, whole, largest, everything, 0.0)
    by_layer = max(denoising, decoding) + 0.05 * everything + _CONTEXT_BYTES
    if offload and by_layer <= has_bytes:
        once = everything - denoiser
        held = 0.05 * everything
        return Residency("by layer", by_layer, has_bytes, whole, held, once, denoiser)
    raise DoesNotFit(
        f"{model.name} at {model.picture.width} x {model.picture.height}, batch {batch}",
        whole if not offload else by_layer, has_bytes,
        change="use a smaller batch or image, 8-bit weights, or allow offloading",
    )  # fmt: skip
