"""A process that decodes pictures for the server and can be ended at any time, which a thread can't.

It reads requests from its standard input and answers on its standard output, and ends with its input. Neither is left
to the pictures' decoders: what they print goes nowhere.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import traceback
from typing import Any, BinaryIO

HEAD = struct.Struct(">II")  # bytes of the JSON, and of the picture after it
ANSWER = struct.Struct(">BI")  # what kind of answer, and its bytes
SHAPE = struct.Struct(">HHB")  # before an image's pixels: height, width, channels (1 or 3)
IMAGE, REFUSED, FAILED = range(3)
READY = b"."  # comes first of all, once
SECONDS = 10.0  # for one picture
MEMORY = 1 << 30  # bytes beyond what the process has from the start; 50 million pixels take 750 MB


def main() -> None:
    """Answer until the input ends."""
    # Ctrl-C and some supervisors tell every process of a server to end: what the server has accepted is decoded.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)

    # Only what is bounded and has its streams to itself says that it is ready.
    source, target = _private_streams()
    _bound_memory()
    target.write(READY)
    target.flush()

    while head := source.read(HEAD.size):
        length, size = HEAD.unpack(head)
        asked, content = json.loads(source.read(length)), source.read(size)

        # Whoever asked ends this process when the time is over; where it is gone, the process does that itself.
        with_alarm = getattr(signal, "setitimer", None)
        if with_alarm:
            with_alarm(signal.ITIMER_REAL, SECONDS + 1)
        kind, answer = _answer(asked, content)
        if with_alarm:
            with_alarm(signal.ITIMER_REAL, 0)
        target.write(ANSWER.pack(kind, len(answer)) + answer)
        target.flush()


def _answer(asked: dict[str, Any], content: bytes) -> tuple[int, bytes]:
    from fittingroom.data.preprocessing import Preprocessing, read_picture
    from fittingroom.errors import DataError

    try:
        made = Preprocessing.from_dict(asked["preprocessing"], "the server")
        image = read_picture(content, "the picture", made, training_background=asked["background"])
    except DataError as error:
        return REFUSED, str(error).encode(errors="replace")
    except MemoryError:
        said = f"the picture: one that is decoded within {MEMORY >> 20:,} MB of memory expected: make it smaller"
        return REFUSED, said.encode()
    except Exception:  # a decoder's own mistake: whoever runs the server is to see where, the client isn't
        return FAILED, traceback.format_exc().encode(errors="replace")

    height, width = image.shape[:2]
    return IMAGE, SHAPE.pack(height, width, 1 if image.ndim == 2 else image.shape[2]) + image.tobytes()


def _private_streams() -> tuple[BinaryIO, BinaryIO]:
    """Input and output that nothing else in the process reads or writes."""
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nowhere, descriptor)
    return source, target


def _bound_memory() -> None:
    """Let no picture take more than ``MEMORY``, where the system knows such a bound."""
    import numpy as np  # noqa: F401  # so that what it takes is counted
    from PIL import Image

    Image.init()
    if sys.platform == "linux":
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  # pathlib would be loaded for it
            taken = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))


def encode(preprocessing: dict[str, object], background: int, content: bytes) -> bytes:
    """A request: how to make the image, and of what."""
    head = json.dumps({"preprocessing": preprocessing, "background": background}).encode()
    return HEAD.pack(len(head), len(content)) + head + content
