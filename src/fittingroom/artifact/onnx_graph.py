"""What an ONNX file would make ONNX Runtime do beyond its own numbers, seen before it is handed over.

A file may say that its weights lie in another one, wherever that is, and may hold a loop that never ends. The package
``onnx`` isn't needed: the few fields of the protocol buffers that tell are walked through here, by the numbers of
``onnx.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator

ENDLESS = {b"Loop", b"Scan", b"SequenceMap"}
MAX_NODES = 50_000
MAX_DEPTH = 20  # of graphs within graphs

# Field numbers: of ModelProto, GraphProto, NodeProto, AttributeProto, FunctionProto and TensorProto.
GRAPH, FUNCTIONS = 7, 25
NODE, INITIALIZER, SPARSE = 1, 5, 15
OP_TYPE, ATTRIBUTE = 4, 5
TENSOR, INNER_GRAPH, TENSORS, INNER_GRAPHS = 5, 6, 10, 11
EXTERNAL_DATA, DATA_LOCATION = 13, 14
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def refuse_unsafe_graph(content: bytes) -> None:
    """Raise ValueError for a file that isn't ONNX, reads other files, or holds a loop."""
    model = memoryview(content)
    nodes = 0
    graphs = [(graph, 0) for number, graph in _messages(model) if number == GRAPH]
    if any(number == FUNCTIONS for number, _ in _messages(model)):
        raise ValueError("a graph without functions of its own expected")

    while graphs:
        graph, depth = graphs.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"graphs at most {MAX_DEPTH} deep expected")
        for number, part in _messages(graph):
            if number == INITIALIZER:
                _refuse_external(part)
            elif number == SPARSE:
                raise ValueError("no sparse weights expected")
            elif number == NODE:
                nodes += 1
                if nodes > MAX_NODES:
                    raise ValueError(f"at most {MAX_NODES:,} nodes expected")
                graphs += [(inner, depth + 1) for inner in _inner_graphs(part)]


def _inner_graphs(node: memoryview) -> Iterator[memoryview]:
    for number, part in _messages(node):
        if number == OP_TYPE and bytes(part) in ENDLESS:
            raise ValueError(f"a graph without loops expected, {bytes(part).decode()} found")
        if number != ATTRIBUTE:
            continue
        for kind, value in _messages(part):
            if kind in (TENSOR, TENSORS):
                _refuse_external(value)
            elif kind in (INNER_GRAPH, INNER_GRAPHS):
                yield value


def _refuse_external(tensor: memoryview) -> None:
    if any(number in (EXTERNAL_DATA, DATA_LOCATION) for number, _ in _fields(tensor)):
        raise ValueError("weights in the file itself expected, it says that they lie in another one")


def _messages(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields of a message that are messages, texts or bytes, with their numbers."""
    for number, value in _fields(message):
        if value is not None:
            yield number, value


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """Every field of a message: its number, and what it holds where it has a length."""
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7

        # numbers are skipped: what is looked for here is text, bytes or a message of its own
        if wire == VARINT:
            _, place = _varint(message, place)
            yield number, None
        elif wire == BYTES:
            length, place = _varint(message, place)
            if place + length > end:
                raise ValueError("an ONNX file expected, it is cut off")
            yield number, message[place : place + length]
            place += length
        elif wire in (FIXED32, FIXED64):
            place += 4 if wire == FIXED32 else 8
            yield number, None
        else:
            raise ValueError("an ONNX file expected, other bytes found")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 70:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise ValueError("an ONNX file expected, it is cut off")
