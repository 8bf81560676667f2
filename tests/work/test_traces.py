"""Trace files: the real ones to the row, every schema, and what happens to bad rows."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenmill.errors import BadRecord, InputError, TokenmillError
from tokenmill.work.rows import SCHEMAS
from tokenmill.work.traces import read_trace, stream_trace
from tokenmill.work.traffic import Traffic, concatenate

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens"
BURST = (
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type"
)
VIDUR = "arrived_at,num_prefill_tokens,num_decode_tokens"

# file: rows, prompt tokens, output tokens, duration [s], prefix blocks, reuse [1]
REAL = {
    "azure_2023_conv.csv": (19366, 22_361_870, 4_088_665, 3501.721937, None, None),
    "azure_2023_code.csv": (8819, 18_059_974, 245_896, 3435.948056, None, None),
    "mooncake_conversation.jsonl": (12031, 144_793_823, 4_122_048, 3536.999, 288_500, 0.366),
    "mooncake_synthetic.jsonl": (3993, 61_194_628, 595_432, 1022.025, 121_877, 0.640),
}


def written(folder: Path, *lines: str, end: str = "\n", name: str = "trace.csv") -> Path:
    path = folder / name
    path.write_bytes(end.join(lines).encode())
    return path


def mooncake(**cells: object) -> str:
    row = {"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]}
    return json.dumps(row | cells)


def same(one: Traffic, two: Traffic) -> bool:
    columns = ("arrival_s", "prompt_tokens", "output_tokens", "sessions", "images")
    alike = all(np.array_equal(getattr(one, c), getattr(two, c)) for c in columns)
    if one.prefixes is None or two.prefixes is None:
        return alike and one.prefixes is two.prefixes
    blocks = [(p.offsets.tobytes(), p.hashes.tobytes()) for p in (one.prefixes, two.prefixes)]
    return alike and blocks[0] == blocks[1]


@pytest.mark.parametrize("name", REAL)
def test_real_traces_to_the_row(shared: Path, name: str) -> None:
    rows, prompt, output, duration_s, blocks, reuse = REAL[name]
    trace = read_trace(shared / "traces" / name, strict=True)
    assert (len(trace), trace.prompt_tokens.sum(), trace.output_tokens.sum()) == (
        rows, prompt, output,
    )  # fmt: skip
    assert trace.duration_s == pytest.approx(duration_s, abs=1e-9)
    assert (trace.rejected, trace.failed, trace.unsorted, trace.notes) == (0, 0, 0, ())
    if blocks is None:
        assert trace.prefixes is None
    else:
        assert trace.prefixes is not None
        assert len(trace.prefixes.hashes) == blocks
        assert trace.prefixes.reuse() == pytest.approx(reuse, abs=5e-4)


@pytest.mark.parametrize("name", REAL)
def test_streamed_packed_and_whole_are_the_same(shared: Path, tmp_path: Path, name: str) -> None:
    whole = read_trace(shared / "traces" / name)
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress((shared / "traces" / name).read_bytes(), 1))
    pieces = list(stream_trace(packed, chunk_bytes=50_000))
    assert len(pieces) > 5
    assert same(whole, concatenate(pieces))
    assert same(whole.head(100), read_trace(packed, head=100))


def test_real_timestamps_keep_seven_digits(shared: Path) -> None:
    trace = read_trace(shared / "traces" / "azure_2023_conv.csv")
    assert trace.arrival_s[:3].tolist() == [0.0, 4.314579, 4.541877]
    grid = read_trace(shared / "traces" / "mooncake_conversation.jsonl")
    assert len(np.unique(grid.arrival_s)) == 1180


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n  \n"])
def test_line_ends_and_blank_lines_do_not_matter(tmp_path: Path, end: str, last: str) -> None:
    lines = ["", AZURE, "2023-11-16 18:15:46.6805900,374,44", "", "2023-11-16 18:15:47,3,4"]
    path = written(tmp_path, *lines, end=end)
    path.write_bytes(path.read_bytes() + last.encode())
    trace = read_trace(path, strict=True)
    assert trace.arrival_s.tolist() == [0.0, 0.31941]
    assert trace.prompt_tokens.tolist() == [374, 3]


def test_azure_2024_offsets_and_mixed_digits(tmp_path: Path) -> None:
    path = written(
        tmp_path, AZURE,
        "2024-05-10 00:00:00+00:00,1,2", "2024-05-10 00:00:00.009930+00:00,3,4",
        "2024-05-10T02:00:01+02:00,5,6", "2024-05-10 00:00:01.5Z,7,8",
    )  # fmt: skip
    assert read_trace(path, strict=True).arrival_s.tolist() == [0.0, 0.00993, 1.0, 1.5]


def test_azure_lmm_counts_images(tmp_path: Path) -> None:
    path = written(
        tmp_path, "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens",
        "2024-10-15 00:00:00.000000,2,900,10", "2024-10-15 00:00:01.000000,0,100,20",
    )  # fmt: skip
    trace = read_trace(path)
    assert trace.images is not None
    assert trace.images.tolist() == [2, 0]
    assert read_trace(written(tmp_path, AZURE, "2023-11-16 00:00:00,1,1")).images is None


def test_burstgpt_failures_are_counted_and_sessions_kept(tmp_path: Path) -> None:
    path = written(
        tmp_path, BURST,
        "5.0,,1,ChatGPT,472,18,490,Conversation log", "45.5,7,2,ChatGPT,1087,0,1087,API log",
        "60,1722ac82-0a46,43,GPT-4,906,446,1352,API log", "60,7.0,1,GPT-4,10,20,30,API log",
    )  # fmt: skip
    trace = read_trace(path)
    assert trace.arrival_s.tolist() == [0.0, 55.0, 55.0]
    assert (trace.failed, trace.rejected) == (1, 0)
    assert trace.notes == ("1 rows without output tokens left out as failed",)
    assert trace.sessions is not None
    assert trace.sessions[0] == -1
    assert trace.sessions[1] > 2**32
    assert trace.sessions[2] == 7


def test_vidur_and_plain(tmp_path: Path) -> None:
    path = written(tmp_path, f"{VIDUR},request_id", "0.5,591,140,0", "0.625,547.0,248,1")
    assert read_trace(path).arrival_s.tolist() == [0.0, 0.125]
    plain = written(tmp_path, 'arrival_s,"prompt_tokens",output_tokens', '"0",1,2', "0,3,4")
    assert read_trace(plain).prompt_tokens.tolist() == [1, 3]


BAD_ROWS = [
    (VIDUR, "nan,1,1", "arrived_at: 'nan' is not a time"),
    (VIDUR, "inf,1,1", "arrived_at"),
    (VIDUR, "-1,1,1", "arrived_at: '-1' is not a time"),
    (VIDUR, "1e300,1,1", "arrived_at"),
    (VIDUR, "1,-5,1", "num_prefill_tokens: '-5' is not a whole number"),
    (VIDUR, "1,2.5,1", "num_prefill_tokens"),
    (VIDUR, "1,0,1", "num_prefill_tokens: 0 makes an empty prompt"),
    (VIDUR, "1,1,x", "num_decode_tokens: 'x' is not a whole number"),
    (VIDUR, "1,1,100000001", "num_decode_tokens"),
    (VIDUR, "1,1", "row: is not 3 fields"),
    (VIDUR, "1,1,1,1", "row: is not 3 fields"),
    (VIDUR, "\x00\x00", "row"),
    (AZURE, "2023-13-16 00:00:00,1,1", "TIMESTAMP: '2023-13-16 00:00:00' is not a date"),
    (AZURE, "now,1,1", "TIMESTAMP"),
    (AZURE, ",1,1", "TIMESTAMP"),
    (AZURE, "9999-01-01 00:00:00,1,1", "TIMESTAMP"),
    (mooncake(), mooncake(timestamp="x"), "timestamp: 'x' is not a time"),
    (mooncake(), mooncake(timestamp=None), "timestamp"),
    (mooncake(), mooncake(input_length=True), "input_length: True"),
    (mooncake(), mooncake(output_length=[1]), r"output_length: \[1\]"),
    (mooncake(), mooncake(hash_ids=[1, 2.5]), r"hash_ids: \[1, 2.5\] is not a list"),
    (mooncake(), mooncake(hash_ids="12"), "hash_ids"),
    (mooncake(), mooncake(hash_ids=[2**63]), "hash_ids"),
    (mooncake(), mooncake(hash_ids=[1, 2, 3]), "hash_ids: 3 blocks of 512 tokens are more"),
    (mooncake(), '{"timestamp": 0, "inp', "row: is not a JSON object"),
    (mooncake(), "[1, 2]", "row: is not a JSON object"),
    (mooncake(), "[" * 100_000, "row: is not a JSON object"),
    (mooncake(), mooncake(input_length=0), "input_length: 0 makes an empty prompt"),
]


def good_row(head: str) -> str:
    if head.startswith("{"):
        return mooncake(timestamp=1000)
    return "2023-11-16 18:15:46.68,10,20" if head == AZURE else "0.5,10,20"


@pytest.mark.parametrize(("head", "bad", "said"), BAD_ROWS)
def test_bad_rows_are_counted_and_named(tmp_path: Path, head: str, bad: str, said: str) -> None:
    path = written(tmp_path, head, good_row(head), bad, good_row(head), bad)
    trace = read_trace(path)
    kept = 3 if head.startswith("{") else 2
    assert (len(trace), trace.rejected, trace.failed) == (kept, 2, 0)
    assert trace.notes[0].startswith("2 rows rejected, the first: line 3: ")
    with pytest.raises(BadRecord, match=said) as caught:
        read_trace(path, strict=True)
    assert caught.value.line == 3
    assert str(caught.value).startswith(f"{path}:3: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


def test_huge_and_simultaneous_requests_are_kept(tmp_path: Path) -> None:
    path = written(tmp_path, VIDUR, "1,1000000,1", "1,5,2000000", "1,7,1")
    trace = read_trace(path, strict=True)
    assert trace.prompt_tokens.tolist() == [1_000_000, 5, 7]
    assert trace.arrival_s.tolist() == [0, 0, 0]


def test_unsorted_rows_are_sorted_and_counted(tmp_path: Path) -> None:
    path = written(tmp_path, VIDUR, "5,1,1", "2,2,2", "9,3,3", "2,4,4")
    trace = read_trace(path)
    assert trace.arrival_s.tolist() == [0, 0, 3, 7]
    assert trace.prompt_tokens.tolist() == [2, 4, 1, 3]
    assert trace.unsorted == 2
    with pytest.raises(BadRecord, match="comes before the row above") as caught:
        read_trace(path, strict=True)
    assert caught.value.line == 3
    with pytest.raises(BadRecord, match="out of order"):
        list(stream_trace(path, chunk_bytes=1))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\n \r\n", "empty"),
        (b"a,b,c\n1,2,3\n", "header: 'a,b,c' is of no known trace"),
        (b'{"a": 1}\n', "no known trace"),
        (b'{"timestamp": 0, "inp', "no known trace"),
        (bytes(range(256)) * 20, "no known trace"),
        (AZURE.encode(), "no usable row"),
        (f"{AZURE}\nx,1,1".encode(), "no usable row: line 2: TIMESTAMP"),
        (f"{VIDUR}\n1,1,0\n2,1,0".encode(), "no usable row: 2 rows"),
        (gzip.compress(b"a" * 100_000, mtime=0)[:60], "ends early"),
        (b"\x1f\x8b garbage", "is damaged"),
        (gzip.compress(b"", mtime=0), "empty"),
        (f"\ufeff{VIDUR}\nx".encode(), "no usable row: line 2"),
    ],
)
def test_files_that_hold_no_trace(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "trace"
    path.write_bytes(content)
    for read in (read_trace, lambda path: list(stream_trace(path, chunk_bytes=7))):
        with pytest.raises(BadRecord, match=said) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.csv", "nul\0"):
        with pytest.raises(BadRecord, match="cannot be read"):
            read_trace(path)


def test_a_cut_gzip_names_the_line(tmp_path: Path) -> None:
    rows = "\n".join([VIDUR, *(f"{i},{i * 7919 % 9999 + 1},5" for i in range(400_000))])
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(gzip.compress(rows.encode(), 1, mtime=0)[:-1000])
    with pytest.raises(BadRecord, match="ends early") as caught:
        read_trace(path)
    assert caught.value.line is not None
    assert caught.value.line > 100_000
    assert len(read_trace(path, head=10)) == 10


def test_limits_are_said(tmp_path: Path) -> None:
    path = written(tmp_path, VIDUR, *(f"{i},1,1" for i in range(100)))
    with pytest.raises(InputError, match="stream it"):
        read_trace(path, limit_bytes=1000)
    with pytest.raises(InputError):
        read_trace(path, head=0)
    with pytest.raises(InputError):
        next(stream_trace(path, chunk_bytes=0))


def test_streaming_counts_rows_between_pieces(tmp_path: Path) -> None:
    path = written(tmp_path, VIDUR, "x,1,1", "1,1,1", "x,1,1", "x,1,1", "2,1,1", "3,1,0", "x,1,1")
    pieces = list(stream_trace(path, chunk_bytes=1))
    assert [len(piece) for piece in pieces] == [1, 1]
    assert [piece.rejected for piece in pieces] == [3, 1]
    assert [piece.failed for piece in pieces] == [0, 1]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []
    for rows in (20_000, 160_000):
        path = written(tmp_path, VIDUR, *(f"{i},{i % 999 + 1},5" for i in range(rows)))
        tracemalloc.start()
        assert sum(len(piece) for piece in stream_trace(path, chunk_bytes=50_000)) == rows
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


HEADERS = [",".join(schema.required) for schema in SCHEMAS if not schema.blocks]
CELL = st.one_of(
    st.sampled_from(["", "0", "-1", "1e308", "nan", "2023-11-16 18:15:46.6805900", "2023-02-30 "]),
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(str),
    st.text(max_size=8),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**70), 2**70) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)
JSON_ROW = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("timestamp", "input_length", "output_length", "hash_ids"), JSON)
).map(json.dumps)
CSV_FILE = st.builds(
    lambda header, rows, end: end.join([header, *(",".join(row) for row in rows)]).encode(
        "utf-8", "replace"
    ),
    st.sampled_from(HEADERS),
    st.lists(st.lists(CELL, min_size=2, max_size=5), max_size=8),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
JSON_FILE = st.lists(JSON_ROW, max_size=8).map(lambda rows: "\n".join([mooncake(), *rows]).encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=200), CSV_FILE, JSON_FILE), packed=st.booleans())
def test_garbage_never_ends_in_a_traceback(tmp_path: Path, content: bytes, packed: bool) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    rows = sum(1 for line in content.replace(b"\r\n", b"\n").split(b"\n") if line.strip())
    try:
        trace = read_trace(path)
    except TokenmillError as refused:
        assert "\n" not in str(refused)
        return
    is_json = content.lstrip().startswith(b"{")
    assert len(trace) + trace.rejected + trace.failed == rows - (not is_json)
    assert trace.arrival_s[0] == 0
    try:
        pieces = list(stream_trace(path, chunk_bytes=3))
    except TokenmillError:
        return
    assert sum(len(p) + p.rejected + p.failed for p in pieces) == rows - (not is_json)
    assert same(trace, concatenate(pieces))
