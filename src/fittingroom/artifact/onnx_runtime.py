"""The one way to ONNX Runtime: every import of it goes through here, with its telemetry off.

Its wheel for Linux looks up a server of its maker from version 1.32 on and keeps an identifier of the machine in the
user's cache. It asks ``ORT_DISABLE_TELEMETRY`` once, while it is loaded, so afterwards is too late: the switch that its
API has, ``disable_telemetry_events``, leaves the identifier and its database behind.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType

SWITCH = "ORT_DISABLE_TELEMETRY"


def silence_telemetry() -> None:
    """Turn the telemetry off in this process and in those that it starts, before anything loads ONNX Runtime.

    A program that has loaded ONNX Runtime by itself before has decided it for its process.
    """
    os.environ[SWITCH] = "1"


def load_onnxruntime(part: str = "") -> ModuleType:
    """The module ``onnxruntime``, or a part of it such as ``quantization``, in a process that sends and keeps nothing.

    Raises:
        ModuleNotFoundError: it isn't installed.
    """
    silence_telemetry()
    return import_module(f"onnxruntime.{part}" if part else "onnxruntime")
