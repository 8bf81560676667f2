"""A model record, as TOML text, from a Hugging Face config.json: only the keys that count."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from tokenmill.errors import BadRecord, InputError
from tokenmill.work.facts import Facts
from tokenmill.work.huggingface import read
from tokenmill.work.parameters import total_parameters

__all__ = ["new_model", "read_config"]

_LIMIT_BYTES = 1_000_000
_SLUG = re.compile(r"[a-z0-9][a-z0-9.\-]{0,99}")
_FIRST = (
    "model_type", "hidden_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "intermediate_size", "vocab_size",
    "max_position_embeddings", "tie_word_embeddings",
)  # fmt: skip
_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "mxfp4": "mxfp4", "nvfp4": "nvfp4"}


def new_model(config_path: str | Path, slug: str | None = None, *, name: str = "") -> str:
    """The text of a model record made from a config.json (nothing is written).

    Parameters: config_path, the file, or a folder that holds one; slug, the record's file stem
    (the name of the folder when left out); name, as shown to people (the slug when left out).
    Returns: TOML that `tokenmill.catalog.load.read_record` accepts; the parameter count stands
    in its note, since a published figure needs another source.
    Raises: BadRecord (file, key, remedy); InputError for a slug that is no file stem.
    """
    path = Path(config_path)
    path = path / "config.json" if path.is_dir() else path
    stem = slug if slug is not None else re.sub(r"[\s_]+", "-", path.resolve().parent.name.lower())
    if not _SLUG.fullmatch(stem):
        raise InputError(f'"{stem[:60]}" is no slug; use a-z, 0-9, "." and "-", such as llama-3-8b')
    config = read_config(path)
    facts = Facts(config, str(path))
    counted = f"{total_parameters(read(facts)) / 1e9:.4g} billion parameters by this configuration"
    lines = [
        f"name = {_toml(name or stem)}",
        'family = "language"',
        "aliases = []",
        f"native_dtype = {_toml(_native_dtype(config))}",
        f"note = {_toml(counted)}",
        "",
        *_table("config", facts.seen()),
        "[sources.config]",
        'kind = "vendor"',
        f"title = {_toml(f'{path.name} of {stem}, as given')}",
        f'read = "{date.today().isoformat()}"',
    ]
    return "\n".join(lines) + "\n"


def read_config(path: Path) -> Mapping[str, object]:
    """The content of a config.json of at most 1 MB.

    Raises: BadRecord where it is missing, too large, no UTF-8, or no JSON object.
    """
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            raise BadRecord(path, "", "larger than 1 MB; remove vocabularies and label maps")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise BadRecord(path, "", f"cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise BadRecord(path, "", "not UTF-8 text; is it a config.json?") from None
    except RecursionError:
        raise BadRecord(path, "", "nested too deeply for a config.json") from None
    except json.JSONDecodeError as problem:
        raise BadRecord(path, "", f"not JSON: {problem.msg}", line=problem.lineno) from None
    except ValueError as problem:  # a number of thousands of digits
        raise BadRecord(path, "", f"not JSON: {problem}") from None
    if not isinstance(content, dict):
        raise BadRecord(path, "", "not a table of keys; give the model's config.json")
    return content


def _native_dtype(config: Mapping[str, object]) -> str:
    """The number format the weights ship in; 16 bits where nothing is said."""
    inner = config.get("text_config")
    tables = [config, inner] if isinstance(inner, Mapping) else [config]
    for table in tables:
        quantised = table.get("quantization_config")
        if isinstance(quantised, Mapping):
            return _quantised(quantised)
    for table in tables:
        for key in ("torch_dtype", "dtype"):
            if str(table.get(key)) in _DTYPES:
                return _DTYPES[str(table[key])]
    return "bf16"


def _quantised(table: Mapping[str, object]) -> str:
    method = str(table.get("quant_method", "")).lower()
    algorithm = str(table.get("quant_algo", "")).lower()
    if method in _DTYPES or algorithm in _DTYPES:
        return _DTYPES.get(algorithm, _DTYPES.get(method, "bf16"))
    if "fp8" in (method, algorithm):
        return "fp8_block" if table.get("weight_block_size") else "fp8"
    return "int4" if method in ("awq", "gptq") and table.get("bits", 4) == 4 else "bf16"


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value)


def _table(name: str, content: Mapping[str, object]) -> Iterator[str]:
    """A TOML table with its nested tables after it."""
    yield f"[{name}]"
    rank = {key: at for at, key in enumerate(_FIRST)}
    nested = []
    for key in sorted(content, key=lambda key: (rank.get(key, len(rank)), key)):
        value = content[key]
        if isinstance(value, Mapping):
            nested.append((key, value))
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            yield f"{key} = ["
            yield from (f"    {_toml(item)}," for item in value)
            yield "]"
        else:
            yield f"{key} = {_toml(value)}"
    yield ""
    for key, value in nested:
        yield from _table(f"{name}.{key}", value)
