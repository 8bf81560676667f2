"""Seconds per image: text encoders, denoising steps, decoding, and what the host adds.

Small batches on fast GPUs wait for the host: Python issues every kernel, so a step cannot be
shorter than its launches. Several GPUs make images side by side as replicas, or share one
image by splitting its tokens (Ulysses: all-to-all around attention, Jacobs et al. 2023,
arXiv:2309.14509; ring attention, Liu et al. 2023, arXiv:2310.01889). What does not fit in
memory is fetched from the host's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from tokenmill.errors import InputError, UnknownName
from tokenmill.physics.image_kernels import (
    Arithmetic,
    Device,
    Mode,
    Pass,
    arithmetic,
    pass_seconds,
)
from tokenmill.physics.image_memory import Residency, residency
from tokenmill.work.media import ImageModel

__all__ = ["SOFTWARE", "ImageTime", "Run", "image_time"]

# Software by name -> how it issues kernels.
SOFTWARE: Mapping[str, Mode] = {
    "eager": "eager",
    "diffusers": "eager",
    "xdit": "eager",
    "compile": "compile",
    "xdit-compile": "compile",
    "tensorrt": "engine",
    "onediff": "engine",
    "stable-fast": "engine",
    "mlperf": "engine",
}
_TRAFFIC = {
    "UNet2DConditionModel": "traffic-unet",
    "SD3Transformer2DModel": "traffic-joint",
    "FluxTransformer2DModel": "traffic-flux",
    "PixArtTransformer2DModel": "traffic-joint",
    "HunyuanDiT2DModel": "traffic-joint",
    "SanaTransformer2DModel": "traffic-linear",
}
_MEGAPIXEL = 2.0**20


@dataclass(frozen=True, slots=True)
class Run:
    """How images are made.

    batch [images at once]; software, a key of SOFTWARE; dtype of the denoiser; ulysses and
    ring [GPUs] that share an image's tokens, multiplied; fused_attention (SDPA, xFormers), and
    whether by xFormers, as before PyTorch 2; fused_qkv; loop_only leaves out text encoders and
    decoder; cached reuses features between steps, an approximation.
    """

    batch: int = 1
    software: str = "eager"
    dtype: str = "fp16"
    ulysses: int = 1
    ring: int = 1
    fused_attention: bool = True
    xformers: bool = False
    fused_qkv: bool = False
    loop_only: bool = False
    cached: bool = False

    @property
    def gpus(self) -> int:
        """GPUs that share one image."""
        return self.ulysses * self.ring

    @property
    def mode(self) -> Mode:
        """How kernels are issued. Raises: UnknownName."""
        try:
            return SOFTWARE[self.software]
        except KeyError:
            raise UnknownName("image software", self.software, SOFTWARE) from None


@dataclass(frozen=True, slots=True)
class ImageTime:
    """One batch of images on one GPU or one group of GPUs.

    seconds [s] of the batch, its parts, and what overlaps them; busy_s is how long a GPU is
    occupied. active_s, the part in which it computes (neither waiting between kernels nor for
    other GPUs), exchange_s, the part in which kernels only move messages, flop (by number
    format), memory_bytes and link_bytes are per GPU: the activity that power is made of.
    """

    batch: int
    gpus: int
    text_s: float
    denoise_s: float
    decode_s: float
    offload_s: float
    busy_s: float
    active_s: float
    exchange_s: float
    limit: Literal["host", "gpu", "offload"]
    memory: Residency
    memory_bytes: float
    link_bytes: float
    flop: Mapping[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """The whole batch [s]."""
        return self.text_s + self.denoise_s + self.decode_s + self.offload_s

    @property
    def seconds_per_image(self) -> float:
        """Time of the group per image [s]: that of the batch over its images."""
        return self.seconds / self.batch


def image_time(
    model: ImageModel, chip: Device, run: Run, c: Mapping[str, float], *, offload: bool = True
) -> ImageTime:
    """Time of one batch of images.

    Parameters: model at its resolution and steps; chip; run; c, constants of the calibration
    record "images"; offload, whether weights may stay in the host's memory where they do not
    fit.
    Raises: InputError for counts below one; DoesNotFit; NoPeak, NoCalibration, UnknownName.
    """
    for name in ("batch", "ulysses", "ring"):
        if not 1 <= getattr(run, name) <= 1_000_000:
            raise InputError(f"{name} must be at least 1, not {getattr(run, name)}")
    how = arithmetic(chip, run.mode, run.dtype, c)
    stages = _Stages(model, chip, run, c, how)
    held = residency(model, run.batch, how.weight_bytes, chip.memory_bytes, offload=offload)
    step, link_bytes, exchange_s = stages.step()
    steps = model.picture.steps * (c["cached"] if run.cached else 1.0)
    text = None if run.loop_only else stages.text()
    decode = None if run.loop_only else stages.decode()
    fetched = 0.0 if run.loop_only else held.fetched_bytes
    moved_bytes = fetched + held.streamed_bytes * model.picture.steps
    moved_s = moved_bytes / chip.host_bytes_per_s
    parts = [(steps, step)] + [(1.0, part) for part in (text, decode) if part is not None]
    flop: dict[str, float] = {}
    for times, part in parts:
        for name, amount in part.flop.items():
            flop[name] = flop.get(name, 0.0) + amount * times
    host_s = stages.host_s(step, per_step=True)
    slowest = max((step.busy_s, "gpu"), (host_s, "host"), (moved_s / max(steps, 1.0), "offload"))
    return ImageTime(
        batch=run.batch,
        gpus=run.gpus,
        text_s=0.0 if text is None else stages.wall_s(text),
        denoise_s=steps * stages.wall_s(step, per_step=True),
        decode_s=0.0 if decode is None else stages.wall_s(decode) + stages.picture_s(),
        offload_s=moved_s,
        busy_s=sum(times * part.busy_s for times, part in parts),
        active_s=sum(times * part.active_s for times, part in parts),
        exchange_s=exchange_s * steps,
        limit=slowest[1],  # type: ignore[arg-type]
        memory=held,
        memory_bytes=sum(times * part.memory_bytes for times, part in parts),
        link_bytes=link_bytes * steps,
        flop=flop,
    )


@dataclass(frozen=True, slots=True)
class _Stages:
    """The passes of one run."""

    model: ImageModel
    chip: Device
    run: Run
    c: Mapping[str, float]
    how: Arithmetic

    @property
    def samples(self) -> int:
        return self.run.batch * self.model.picture.guidance_passes

    def step(self) -> tuple[Pass, float, float]:
        """One denoising step, guidance included; bytes each GPU sends in it, and their time [s]."""
        alone = pass_seconds(
            self.model.denoiser, self.samples, self.chip, self.how, self.c,
            share=1.0 / self.run.gpus, fused_attention=self.run.fused_attention,
            fused_qkv=self.run.fused_qkv,
            attention=self.c["xformers"] if self.run.xformers else 1.0,
            traffic=self.c[_TRAFFIC[self.model.family]],
        )  # fmt: skip
        if self.run.gpus == 1:
            return alone, 0.0, 0.0
        seconds, launches, sent = self._exchange()
        shared = replace(alone, busy_s=alone.busy_s + seconds, launches=alone.launches + launches)
        return shared, sent, seconds

    def _exchange(self) -> tuple[float, float, float]:
        """Sharing attention between GPUs: seconds, launches, and bytes sent by each."""
        c, run = self.c, self.run
        calls, values = self.model.denoiser.exchanges()
        local = values * self.samples / run.gpus * self.how.value_bytes
        link = self.chip.link_bytes_per_s * c[self.chip.link]
        memory = self.chip.memory_bytes_per_s * c["stream"]
        copies = c["exchange_copies"] * (0.5 if self.how.mode != "eager" else 1.0)
        merges = c["ring_merge"] * (0.5 if self.how.mode != "eager" else 1.0)
        seconds = launches = sent = 0.0
        if run.ulysses > 1:
            out = local * (run.ulysses - 1) / run.ulysses
            seconds += out / link + local * copies / memory
            launches, sent = launches + calls * c["exchange_launches"], sent + out
        if run.ring > 1:
            rounds = run.ring - 1
            out = local / 2.0 * rounds  # keys and values pass on while others are computed
            seconds += out * c["ring_exposed"] / link + local / 4.0 * rounds * merges / memory
            seconds += calls * rounds * c["ring_round"]
            launches, sent = launches + calls * rounds * c["ring_launches"], sent + out
        return seconds, launches, sent

    def text(self) -> Pass:
        """Text encoders over prompts and negative prompts, not quantised."""
        how = self._beside(self.how.mode)
        return pass_seconds(self.model.text_encoder, self.samples, self.chip, how, self.c)

    def decode(self) -> Pass:
        """Latents to pixels; compilers are rarely let at it."""
        mode: Mode = "engine" if self.how.mode == "engine" else "eager"
        whole = self.model.decodes_in_fp32 and mode != "engine"
        how = self._beside(mode, "fp32" if whole else "")
        return pass_seconds(self.model.decoder, self.run.batch, self.chip, how, self.c)

    def _beside(self, mode: Mode, dtype: str = "") -> Arithmetic:
        """How networks beside the denoiser run: unquantised."""
        plain = self.run.dtype if self.run.dtype in ("fp32", "fp16") else "bf16"
        return arithmetic(self.chip, mode, dtype or plain, self.c)

    def host_s(self, part: Pass, *, per_step: bool = False) -> float:
        """Time the host needs to issue a pass."""
        c = self.c
        once = c["host_step"] if per_step else 0.0
        issue = once + c["host_module"] * part.modules + c["host_launch"] * part.launches
        slower = {"eager": 1.0, "compile": c["host_compile"], "engine": c["host_engine"]}
        return issue * slower[self.how.mode] * self._host_share()

    def _host_share(self) -> float:
        return self.c["host_desktop"] if self.chip.desktop else 1.0

    def wall_s(self, part: Pass, *, per_step: bool = False) -> float:
        """A pass by the clock: GPU and host work side by side, the slower one shows."""
        host = self.host_s(part, per_step=per_step)
        p = self.c["host_overlap"]
        return float((part.busy_s**p + host**p) ** (1.0 / p))

    def picture_s(self) -> float:
        """Pixels to an image on the host, one after another."""
        pixels = self.model.picture.width * self.model.picture.height / _MEGAPIXEL
        return self.c["picture"] * pixels * self.run.batch * self._host_share()
