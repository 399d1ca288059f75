"""What may have become of a file on its way: seeded damage, and values that somebody put there on purpose."""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

MARK = "executed"  # a file of this name appears where a hostile text was executed
TEXTS = (
    "",
    "x" * 10_000_000,
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m",
    "‮gpj.exe",
    "\0",
    "line\nbreak\r\n",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "javascript:alert(1)",
    "../../outside",
    "/etc/passwd",
    "/dev/zero",
    "~/.ssh/id_rsa",
    "//host/share",
    "file:///etc/passwd",
    "sqlite:////tmp/elsewhere.db",
    "postgresql://203.0.113.1/x",
    "hostile.py:Net",
    "os:system",
    "(a+)+$",
    "[*?",
    "%s%n",
    "auto",
    "cuda:99",
    "seed-0",
    "9" * 400,
    "ＣＯＮ",
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 7, 2**31, 2**63, 2**70, -(2**70), 10**400),
    *(0.5, -0.0, 1e-320, 1e39, 1e308, -1e308, float("nan"), float("inf")),
    *([], {}, [[]], [None], {"": ""}, [1, 2, 3], ["a", "b"], "text", "\ud800"),
)


def deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Bytes that a disk, a transfer or a hand has changed."""
    kind = rng.randrange(9)
    data = bytearray(content)
    if kind == 0 or not data:
        return rng.randbytes(rng.choice([0, 1, 16, 1000]))
    place = rng.randrange(len(data))
    if kind == 1:
        return bytes(data[:place])
    if kind == 2:
        return bytes(data[:place] + data[place + rng.randrange(1, 64) :])
    if kind == 3:
        return bytes(data[:place] + rng.randbytes(rng.randrange(1, 64)) + data[place:])
    if kind == 4:
        end = place + rng.randrange(1, 4096)
        return bytes(data[:place] + bytes(end - place) + data[end:])
    if kind == 5:
        return bytes(data[:place] + data[place : place + 256] * rng.choice([2, 50]) + data[place:])
    if kind == 6:
        struct.pack_into("<I", data, min(place, max(0, len(data) - 4)), rng.choice([0, 1, 2**31, 2**32 - 1])) if len(
            data
        ) >= 4 else None
        return bytes(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def mutated_value(value: Any, rng: random.Random) -> Any:
    """A JSON value with one place of it changed."""
    places = list(_places(value))
    value = json.loads(json.dumps(value))
    path = rng.choice(places)
    target = value
    for key in path[:-1]:
        target = target[key]
    if not path:
        return rng.choice([*VALUES, *TEXTS])
    key, kind = path[-1], rng.randrange(8)
    if kind == 0:
        del target[key]
    elif kind == 1:
        other = rng.choice(places)
        found = value
        for step in other:
            found = found[step] if isinstance(found, (dict, list)) and _has(found, step) else None
        target[key] = json.loads(json.dumps(found))
    elif kind == 2 and isinstance(target, list):
        target.insert(key, target[key])
    elif kind == 2:
        target[rng.choice(TEXTS)] = target.pop(key)
    elif kind in (3, 4):
        target[key] = rng.choice(TEXTS)
    elif kind == 5 and isinstance(target[key], (int, float)) and not isinstance(target[key], bool):
        target[key] = rng.choice([-target[key], target[key] * 1000, target[key] + 1, str(target[key]), [target[key]]])
    else:
        target[key] = rng.choice(VALUES)
    return value


def _has(found: Any, step: Any) -> bool:
    return step in found if isinstance(found, dict) else isinstance(step, int) and step < len(found)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Any:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in list(enumerate(value))[:40]:
            yield from _places(inner, (*path, i))


def of_json(content: bytes, rng: random.Random) -> bytes:
    kind = rng.randrange(10)
    if kind == 0:
        return damaged(content, rng)
    value = json.loads(content)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        if isinstance(value, (dict, list)):
            value = mutated_value(value, rng)
    text = json.dumps(value).encode()
    if kind == 1:  # nested without end, in the place of some value
        text = text.replace(b": null", b": " + deep(100_000), 1) if b": null" in text else deep(100_000)
    return text


def of_lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines()
    row = rng.randrange(len(lines))
    lines[row] = of_json(lines[row], rng)
    return b"\n".join(lines) + b"\n"


def of_toml(content: bytes, rng: random.Random) -> bytes:
    if rng.randrange(4) == 0:
        return damaged(content, rng)
    lines = content.decode().splitlines()
    row = rng.choice([i for i, line in enumerate(lines) if "=" in line])
    literals = ["1e400", "nan", "-1", "9" * 5000, "[]", "{}", "[[[[]]]]", "true", "2020-01-01", '"' + "x" * 10**7 + '"']
    literals += [json.dumps(text).replace("\x7f", "") for text in TEXTS if "\ud800" not in text]
    literals += ["[" * 5000 + "]" * 5000, str(2**70), "0", "1000000", "0.5", "[1, 2, 3]", "[[0, 28], [1, 0]]"]
    key = lines[row].partition("=")[0]
    lines[row] = rng.choice([f"{key}= {rng.choice(literals)}", "", f"{key}x = 1", lines[row] + "\n" + lines[row]])
    return "\n".join(lines).encode()


def of_safetensors(content: bytes, rng: random.Random) -> bytes:
    """Damage, or a header that says something else, of the length that it has then."""
    if rng.randrange(2):
        return damaged(content, rng)
    length = int.from_bytes(content[:8], "little")
    header = of_json(content[8 : 8 + length], rng)
    return rng.choice([len(header), 2**62, 0]).to_bytes(8, "little") + header + content[8 + length :]


def of_checkpoint_tensors(content: bytes, rng: random.Random) -> bytes:
    return of_safetensors(content, rng)


def of_parquet(content: bytes, rng: random.Random) -> bytes:
    """Damage, or a table with other columns and values, written as its writer would."""
    if rng.randrange(3) == 0:
        return damaged(content, rng)
    import polars as pl

    table = pl.read_parquet(io.BytesIO(content))
    metadata = {"format": rng.choice(["1", "1", "1", "2", "", "x" * 10_000])}
    name = rng.choice(table.columns)
    kind = rng.randrange(8)
    row = pl.int_range(pl.len()) == rng.randrange(max(1, len(table)))
    if kind == 0:
        table = table.drop(name)
    elif kind == 1:
        table = table.with_columns(pl.lit(rng.choice([None, "a", 1, 0.5, True, b"x", [1]])).alias(name))
    elif kind == 2:
        table = table.head(rng.choice([0, 1, 2, len(table) // 2]))
    elif kind == 3:
        table = pl.concat([table] * rng.choice([2, 40]))
    elif kind == 4 and table[name].dtype == pl.String:
        text = rng.choice([text for text in TEXTS if "\ud800" not in text])
        table = table.with_columns(pl.when(row).then(pl.lit(text)).otherwise(pl.col(name)).alias(name))
    elif kind == 4:
        number = rng.choice([float("nan"), float("inf"), -1.0, 2.0, 1e300])
        table = table.with_columns(pl.when(row).then(number).otherwise(pl.col(name)).alias(name))
    elif kind == 5:
        table = table.rename({name: rng.choice(["other", "", "p99", "image "])})
    elif kind == 6:
        table = table.with_columns(pl.when(row).then(None).otherwise(pl.col(name)).alias(name))
    else:
        table = table.with_columns(
            pl.col(name).cast(rng.choice([pl.String, pl.Binary, pl.Int64, pl.Float64]), strict=False)
        )
    out = io.BytesIO()
    table.write_parquet(out, metadata=metadata)
    return out.getvalue()


def of_onnx(content: bytes, rng: random.Random) -> bytes:
    """Damage, or metadata and graph changed as one who knows the format would."""
    if rng.randrange(3) == 0:
        return damaged(content, rng)
    import onnx

    model = onnx.load_from_string(content)
    kind = rng.randrange(5)
    if kind <= 2:
        entry = rng.choice([entry for entry in model.metadata_props if entry.key.startswith("fittingroom.")])
        text = entry.value.encode()
        changed = damaged(text, rng) if entry.key == "fittingroom.recipe" else of_json(text, rng)
        entry.value = changed.decode(errors="replace")
    elif kind == 3:
        node = rng.choice(model.graph.node)
        node.op_type = rng.choice(["Relu", "Loop", "Nope", "Expand", "Identity", "Gemm"])
    else:
        tensor = rng.choice(model.graph.initializer)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", rng.choice(["../secret", "/etc/passwd", "weights.bin"])), ("length", "64")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        tensor.ClearField("raw_data")
    return bytes(model.SerializeToString())


def seal_checkpoint(folder: Path) -> None:
    """Let ``state.json`` say the hashes of what lies there now, as one would who knows the format."""
    state = folder / "state.json"
    try:
        header = json.loads(state.read_bytes())
        header["sha256"] = hashlib.sha256((folder / "tensors.safetensors").read_bytes()).hexdigest()
        if isinstance(header.get("state"), dict):
            sealed = json.dumps(header["state"], sort_keys=True).encode()
            header["state_sha256"] = hashlib.sha256(sealed).hexdigest()
        state.write_text(json.dumps(header))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return


Mutation = Callable[[bytes, random.Random], bytes]
