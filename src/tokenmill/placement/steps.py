"""Step times: seconds and activity of one engine step, for many layouts and batches at once.

One step of an instance with t tokens (p of them prefill), n sequences, b decoding and ctx context
tokens costs linear(t) + sequence(n) + prefill attention(p, c) + decode attention(b, ctx). The
parts here serve the closed form (arrays over layouts x batches), the breakdown of an answer, and
the `StepTable` of the event engine (`placement.table`): one truth.

Pipelines: with pp stages the batch runs as pp micro-batches, so a step costs the whole model at
1/pp of the rows. Attention data parallelism: a rank sees 1/dp of the sequences, experts see all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenmill.physics import attention, elementwise, gemm, state_space
from tokenmill.physics.arithmetic import arithmetic
from tokenmill.physics.chip import Chip
from tokenmill.physics.fabric import PHASES, Fabric
from tokenmill.placement import compressed, messages, own_kernels
from tokenmill.placement.cache_reads import cache_ways, prefill_reads
from tokenmill.placement.engines import Engine
from tokenmill.placement.layout import LayoutGrid
from tokenmill.placement.parts import Part, counted
from tokenmill.placement.routed import expert_part
from tokenmill.placement.scans import scan_coefficients
from tokenmill.work import language
from tokenmill.work.architecture import (
    Architecture,
    Attention,
    CompressedAttention,
    GatedDeltaNet,
    LatentAttention,
    Mamba2,
)
from tokenmill.work.launches import launches
from tokenmill.work.ops import Attend, Elementwise, ExpertBlock, Matmul
from tokenmill.work.precision import CacheFormat, WeightFormat
from tokenmill.work.storage import stored_bits

__all__ = ["StepTimes"]

Scalar = Any
_PREFILLS: dict[type, str] = {Attention: "prefill", LatentAttention: "mla_prefill"}


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Step times of one model in one precision on one chip, over many layouts (rows [n, 1])."""

    arch: Architecture
    weights: WeightFormat
    cache: CacheFormat
    chip: Chip
    fabric: Fabric
    grid: LayoutGrid
    engine: Engine

    def linear_parts(self, tokens: Scalar) -> Iterator[Part]:
        """Everything that depends on the tokens of the step alone, operation by operation.

        Parameters: tokens in the step of the whole instance, broadcast against [n, 1].
        """
        if not self.engine.host_floor_s:
            yield from self._kernel_parts(tokens)
            return
        busy = zero = np.zeros(np.broadcast_shapes(np.shape(tokens), self.grid.tp.shape))
        for part in self._kernel_parts(tokens):
            busy = busy + part.seconds
            yield part
        waits = np.maximum(self.engine.host_floor_s * self.arch.layer_count - busy, 0.0)
        yield Part("waiting for launches", waits, zero, zero, zero, "host")

    def _kernel_parts(self, tokens: Scalar) -> Iterator[Part]:
        grid = self.grid
        rows = _rows(tokens, grid.pp * grid.dp)
        reduced = 0  # matrices whose partial sums tensor ranks must add up
        for op in language.operations(self.arch):
            if isinstance(op, Matmul):
                if not op.per_sequence:
                    yield self._matmul(op, rows)
                    if op.split == "rows" and not op.name.startswith("shared"):
                        reduced += op.count
            elif isinstance(op, ExpertBlock):
                yield expert_part(
                    self.engine, self.chip, grid, self.weights, op, _rows(tokens, grid.pp)
                )
                yield from self._expert_messages(op, tokens)
            elif isinstance(op, Elementwise) and not op.per_sequence:
                yield self._elementwise(op, rows)
        if np.any(grid.tp > 1):
            message = rows * self.arch.hidden * 2.0
            yield messages.message(
                self.fabric, self.engine, "all-reduce", "all_reduce", message, grid.tp, reduced
            )
        if np.any(grid.pp > 1):
            message = rows * self.arch.hidden * 2.0 / grid.tp
            yield messages.between_stages(self.fabric, self.engine, message, grid.pp)

    def sequence_parts(self, sequences: Scalar) -> Iterator[Part]:
        """Everything per sequence of the step: the LM head, sampling, the host."""
        grid = self.grid
        rows = _rows(sequences, grid.pp * grid.dp)
        for op in language.operations(self.arch):
            if isinstance(op, Matmul) and op.per_sequence:
                yield self._matmul(op, rows)
                if np.any(grid.tp > 1):
                    logits = rows * op.n * 2.0
                    yield messages.message(
                        self.fabric, self.engine, "logits gather", "all_gather", logits, grid.tp, 1
                    )
        engine = self.engine
        # every attention rank has a scheduler of its own
        each = engine.host_sequence_s * sequences / grid.dp
        host = engine.host_step_s + (1.0 - engine.sampling) * each
        host = host + engine.host_layer_s * self.arch.layer_count
        gap_s = self.chip.gap_s * engine.gap_share
        host = host + gap_s * launches(self.arch, self.weights)
        host = host + engine.host_stage_s * (grid.pp - 1.0)
        zero = np.zeros(np.broadcast_shapes(np.shape(host), grid.tp.shape))
        yield Part("host", host + zero, zero, zero, zero, "host")
        if engine.sampling:  # passes over the logits, bound by memory
            busy = zero + engine.sampling * each
            moved = busy * self.chip.memory_bytes_per_s
            yield Part("sampling", busy, zero, moved, zero, "fp32")

    def decode_coefficients(self, batch: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        """Attention of decoding: (base [s], [s] per context token, [s] per token in the window).

        Parameters: batch, sequences decoding in the instance. A step costs base + per_token x
        summed context + per_window_token x summed min(context, window).
        """
        base = per_token = per_window = np.zeros_like(self.grid.tp)
        rows = _rows(batch, self.grid.pp * self.grid.dp)
        share = self._spread(batch)
        for op in language.operations(self.arch):
            if isinstance(op, Attend):
                fixed, full, windowed = self._decode_one(op, rows)
                base = base + fixed * op.count
                per_token = per_token + full * op.count * share
                per_window = per_window + windowed * op.count * share
        return base, per_token, per_window

    def prefill_coefficients(self) -> tuple[Scalar, Scalar, Scalar, Scalar]:
        """Attention of prefill: [s] per chunk, token, (query, key) pair, windowed pair.

        Attention ranks work on prompts of their own at once: a chunk costs a step its share.
        """
        chunk = token = pair = window_pair = np.zeros_like(self.grid.tp)
        for op in language.operations(self.arch):
            if isinstance(op, Attend):
                fixed, each, full, windowed = self._prefill_one(op)
                chunk = chunk + fixed * op.count
                token = token + each * op.count
                pair = pair + full * op.count
                window_pair = window_pair + windowed * op.count
        ranks = self.grid.dp
        return chunk / ranks, token / ranks, pair / ranks, window_pair / ranks

    def prefill_reads(self) -> tuple[Scalar, Scalar]:
        """Least time of a chunk to read its cache: [s] per key, per key in the window."""
        key, window_key = prefill_reads(self.arch, self.cache, self.chip, self.grid.tp)
        return key / self.grid.dp, window_key / self.grid.dp

    @property
    def prefill_floor_s(self) -> float:
        """Least time of a step that prefills: its host launches kernels while the GPU runs [s]."""
        return self.engine.host_prefill_s * launches(self.arch, self.weights)

    @property
    def prefill_launch_s(self) -> float:
        """What the prompts of a step share [s]: attention kernels launched once for all."""
        clocks = [
            self.chip.pick(kind, "bf16", self.engine.name).launch_clocks * op.count
            for op in language.operations(self.arch)
            if isinstance(op, Attend) and (kind := _PREFILLS.get(type(op.mixer)))
        ]
        return float(sum(clocks) / self.chip.boost_hz)

    @property
    def window_tokens(self) -> int:
        """The widest sliding window of the model [tokens]; 0 where it has none."""
        return language.window_tokens(self.arch)

    def linear_s(self, tokens: Scalar) -> Scalar:
        """Seconds that depend on the tokens of a step alone [s]."""
        return sum(part.seconds for part in self.linear_parts(tokens))

    def sequence_s(self, sequences: Scalar) -> Scalar:
        """Seconds that depend on the sequences of a step alone [s]."""
        return sum(part.seconds for part in self.sequence_parts(sequences))

    def decode_attention_s(self, batch: Scalar, context: Scalar) -> Scalar:
        """Attention [s] of `batch` decoding sequences of `context` tokens each."""
        base, per_token, per_window = self.decode_coefficients(batch)
        windowed = np.minimum(context, self.window_tokens)
        return base + per_token * batch * context + per_window * batch * windowed

    def prefill_attention_s(self, tokens: Scalar, context: Scalar) -> Scalar:
        """Attention [s] of one chunk of `tokens` after `context` tokens of the same sequence."""
        chunk, token, pair, window_pair = self.prefill_coefficients()
        key, window_key = self.prefill_reads()
        full = pair * language.attended_pairs(tokens, context)
        windowed = window_pair * language.attended_pairs(tokens, context, self.window_tokens)
        full = np.maximum(full, key * (tokens + context))
        inside = tokens + np.minimum(context, self.window_tokens)
        return chunk + token * tokens + full + np.maximum(windowed, window_key * inside)

    def _spread(self, batch: Scalar) -> Scalar:
        """Share of a batch's contexts in one micro-batch on one rank: at least a sequence."""
        return np.maximum(1.0 / (self.grid.pp * self.grid.dp), 1.0 / np.maximum(batch, 1.0))

    def attention_part(self, batch: Scalar, context: Scalar) -> Part:
        """Decode attention as a part: seconds, FLOPs and cache bytes of one GPU."""
        return self._mixing("attention", self.decode_attention_s(batch, context),
                            1.0, context, batch * self._spread(batch), absorbed=True)  # fmt: skip

    def prefill_part(self, tokens: Scalar, context: Scalar) -> Part:
        """Prefill attention of one chunk as a part."""
        return self._mixing("prefill attention", self.prefill_attention_s(tokens, context),
                            tokens, context, 1.0 / self.grid.dp, absorbed=False)  # fmt: skip

    def _mixing(
        self, name: str, seconds: Scalar, new: Scalar, context: Scalar, sequences: Scalar, *,
        absorbed: bool,
    ) -> Part:  # fmt: skip
        tp = self.grid.tp
        flop = moved = np.zeros_like(seconds)
        for op in language.operations(self.arch):
            if isinstance(op, Attend):
                work = language.attend_work(
                    op, new, context, sequences, self.cache, absorbed=absorbed
                )
                flop = flop + work.flop / tp
                moved = moved + work.cache_bytes / cache_ways(op.mixer, tp)
                moved = moved + work.activation_bytes / tp
        return Part(name, seconds, flop, moved, np.zeros_like(seconds), "bf16")

    def decode_step_s(self, batch: Scalar, context: Scalar) -> Scalar:
        """A step that only decodes: `batch` sequences of `context` tokens [s]."""
        return (
            self.linear_s(batch) + self.sequence_s(batch) + self.decode_attention_s(batch, context)
        )

    def both_steps_s(
        self, batch: Scalar, context: Scalar, chunk: Scalar, chunk_context: Scalar
    ) -> tuple[Scalar, Scalar]:
        """(a step that only decodes, one that prefills a chunk beside it) [s].

        Parameters: batch sequences of context tokens each; chunk tokens of prefill that follow
        chunk_context tokens; arrays broadcast against [layouts, 1]. Evaluated in one sweep.
        """
        batch, chunk = np.broadcast_arrays(np.atleast_2d(batch), chunk)
        width = batch.shape[-1]
        linear = self.linear_s(np.concatenate((batch, batch + chunk), axis=-1))
        sequence = self.sequence_s(np.concatenate((batch, batch + 1.0), axis=-1))
        both = linear + sequence
        attention_s = self.decode_attention_s(batch, context)
        decode = both[..., :width] + attention_s
        mixed = both[..., width:] + attention_s + self.prefill_attention_s(chunk, chunk_context)
        return decode, np.maximum(mixed, self.prefill_floor_s)

    def _matmul(self, op: Matmul, rows: Scalar) -> Part:
        k, n = op.shard(self.grid.tp)
        wanted: str = {
            "attention": self.weights.attention, "feed-forward": self.weights.feed_forward,
        }.get(op.part, "bf16")  # fmt: skip
        if op.part == "head" and self.weights.gguf:
            wanted = self.weights.attention
        wanted = self._multiplied(wanted)
        stored = stored_bits(op, self.weights) / 8.0
        seconds = own_kernels.own_kernel_s(
            self.engine, self.chip, rows,
            lambda chip: gemm.gemm_s(
                chip, wanted, rows, n, k, engine=self.engine.name, weight_bytes=stored,
                quantised=self.engine.static_scales and wanted != "fp8_block",
            ),
        )  # fmt: skip
        memory = k * n * stored + rows * (k + n) * 2.0
        flop, peak = 2.0 * rows * n * k, arithmetic(self.chip, wanted).peak
        seconds = own_kernels.paced_s(self.engine, self.chip, seconds, flop, peak, memory)
        seconds = np.maximum(seconds, own_kernels.unpacked_few_s(self.chip, rows, k * n, stored))
        seconds = seconds + own_kernels.unpacking_s(self.engine, self.chip, rows, k * n, stored)
        seconds = seconds + own_kernels.block_scales_s(self.engine, self.chip, wanted)
        return counted(op, seconds, flop, memory, peak)

    def _multiplied(self, dtype: str) -> str:
        """The arithmetic of a format: 16 bits for all where the engine has only such kernels."""
        return "bf16" if self.engine.accumulate_bits == 16 else dtype

    def _elementwise(self, op: Elementwise, rows: Scalar) -> Part:
        ways = self.grid.tp if op.split else 1.0
        moved = rows * op.values / ways * 2.0
        seconds = elementwise.stream_s(self.chip, moved)
        seconds = seconds + own_kernels.activations_s(self.engine, self.chip, rows, moved)
        return counted(op, seconds, rows * op.flop / ways, moved, "fp32")

    def _expert_messages(self, op: ExpertBlock, tokens: Scalar) -> Iterator[Part]:
        """Tensor ranks add up their experts' results; data-parallel ranks exchange tokens."""
        grid = self.grid
        rows = _rows(tokens, grid.pp * grid.dp)
        together = np.where(grid.dp == 1, grid.tp, 1.0)
        if np.any(together > 1):
            message = rows * self.arch.hidden * 2.0
            yield messages.message(
                self.fabric, self.engine, "expert all-reduce", "all_reduce", message, together,
                op.count,
            )  # fmt: skip
        if np.any(grid.dp > 1):
            ranks = np.where(grid.dp > 1, grid.tp * grid.dp, 1.0)
            own = _rows(tokens, grid.pp * grid.dp * grid.tp)
            for phase in PHASES:
                yield messages.exchange(
                    self.fabric, self.engine, phase, op, own, hidden=float(self.arch.hidden),
                    copies=np.minimum(op.experts.top_k, grid.ep), ranks=ranks,
                )  # fmt: skip

    def _decode_one(self, op: Attend, rows: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        """(base, per token without end, per token in the window) of one layer of an operation."""
        mixer, tp, name = op.mixer, self.grid.tp, self.engine.name
        zero = np.zeros_like(tp)
        if isinstance(mixer, Attention):
            shape = (
                np.ceil(mixer.heads / tp), np.maximum(mixer.kv_heads / tp, 1.0),
                (mixer.head_dim + mixer.value_head_dim) / 2.0,
            )  # fmt: skip
            cost = attention.decode_attention_coefficients(
                self.chip, rows, *shape, kv_dtype=self.cache.name, window=mixer.window, engine=name
            )
            each = own_kernels.cached_token_s(
                self.engine, self.chip, cost.s_per_token, *shape, self.cache.value_bytes
            )
            return _windowed(cost.base_s, each, bool(mixer.window), zero)
        if isinstance(mixer, LatentAttention):
            cost = attention.mla_decode_coefficients(
                self.chip, rows, np.ceil(mixer.heads / tp), mixer.kv_lora_rank, mixer.rope_dim,
                kv_dtype=self.cache.name, engine=name,
            )  # fmt: skip
            base, full, windowed = _windowed(
                cost.base_s, cost.s_per_token, bool(mixer.index_topk), zero
            )
            return base, full + self._index_s(mixer), windowed
        if isinstance(mixer, CompressedAttention):
            return compressed.decode_coefficients(
                self.chip, mixer, rows, tp, self.window_tokens, self.cache.name, name
            )
        if isinstance(mixer, Mamba2):
            groups = np.maximum(mixer.groups / tp, 1.0)
            seconds = state_space.mamba2_decode_s(
                self.chip, rows, mixer.heads / tp, mixer.head_dim, mixer.state_dim,
                groups=groups, engine=name,
            )  # fmt: skip
            return seconds, zero, zero
        if isinstance(mixer, GatedDeltaNet):
            seconds = state_space.gdn_decode_s(
                self.chip, rows, mixer.key_heads / tp, mixer.value_heads / tp, mixer.key_dim,
                mixer.value_dim, engine=name,
            )  # fmt: skip
            return seconds, zero, zero
        return zero, zero, zero

    def _index_s(self, mixer: LatentAttention) -> float:
        """Scoring one cached token by the indexer of sparse attention [s] (DeepSeek-V3.2)."""
        return mixer.index_dim / self.chip.memory_bytes_per_s

    def _prefill_one(self, op: Attend) -> tuple[Scalar, Scalar, Scalar, Scalar]:
        """(per chunk, per token, per pair, per windowed pair) of one layer of an operation."""
        mixer, tp, name = op.mixer, self.grid.tp, self.engine.name
        zero = np.zeros_like(tp)
        if isinstance(mixer, Attention):
            cost = attention.prefill_attention_coefficients(
                self.chip, np.ceil(mixer.heads / tp), np.maximum(mixer.kv_heads / tp, 1.0),
                (mixer.head_dim + mixer.value_head_dim) / 2.0, kv_dtype=self.cache.name,
                engine=name,
            )  # fmt: skip
            query_s, pair_s = own_kernels.scores_s(self.engine, self.chip, mixer.heads / tp)
            each = cost.s_per_pair / self.engine.attention_share + pair_s
            _, pair, windowed = _windowed(zero, each, bool(mixer.window), zero)
            return cost.base_s + zero, cost.s_per_token + query_s, pair, windowed
        if isinstance(mixer, LatentAttention):
            cost = attention.mla_prefill_coefficients(
                self.chip, np.ceil(mixer.heads / tp), mixer.nope_dim, mixer.rope_dim,
                mixer.value_head_dim, kv_dtype=self.cache.name, engine=name,
            )  # fmt: skip
            _, pair, windowed = _windowed(zero, cost.s_per_pair, bool(mixer.index_topk), zero)
            index = 2.0 * mixer.index_heads * mixer.index_dim / self.chip.flop_per_s("bf16")
            return cost.base_s + zero, cost.s_per_token, pair + index, windowed
        if isinstance(mixer, CompressedAttention):
            return compressed.prefill_coefficients(
                self.chip, mixer, tp, self.window_tokens, self.cache.name, name
            )
        chunk, token = scan_coefficients(self.chip, mixer, tp, name)
        return chunk, token, zero, zero


def _windowed(
    base: Scalar, slope: Scalar, inside_window: bool, zero: Scalar
) -> tuple[Scalar, Scalar, Scalar]:
    """A slope on the side it belongs to: all context, or the part inside the window."""
    return (base, zero, slope) if inside_window else (base, slope, zero)


def _rows(count: Scalar, ways: Scalar) -> Scalar:
    """Rows that the busiest of `ways` micro-batches or ranks gets, at least one."""
    return np.maximum(np.ceil(np.asarray(count, float) / ways), 1.0)
