"""The header of safetensors: held to what a network's takes, before a tensor is made of each of its lines."""

from __future__ import annotations

from pathlib import Path

LARGEST_HEADER = 4 << 20  # bytes; a network of a thousand layers has about 0.3 MB


def refuse_large_header(content: bytes | Path) -> None:
    """Raise SafetensorError for a header of very many tensors, or of very long names: each costs time and memory.

    Args:
        content: of the file, or its path. What is no safetensors is left to whoever reads it.
    """
    from safetensors import SafetensorError

    if isinstance(content, Path):
        with content.open("rb") as file:
            content = file.read(8)
    if (length := int.from_bytes(content[:8], "little")) > LARGEST_HEADER:
        raise SafetensorError(f"a header of at most {LARGEST_HEADER:,} bytes expected, {length:,} found")
