"""Run commands where nobody is reached and every name that is looked up is written down. Needs root, on Linux.

Each process gets a network namespace in which there is nothing but a name server, which knows no name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import fittingroom
from tests.support.machine import missing

# Runs as `python -c INSIDE folder command…` within the namespaces: brings the loopback up, puts a name server on it,
# points resolv.conf at it for this namespace alone, and carries the command out.
INSIDE = """
import socket, struct, subprocess, sys, threading
from fcntl import ioctl
from pathlib import Path

folder, *command = sys.argv[1:]
with socket.socket() as control:
    flags, = struct.unpack("16xH14x", ioctl(control, 0x8913, struct.pack("16sH14x", b"lo", 0)))
    ioctl(control, 0x8914, struct.pack("16sH14x", b"lo", flags | 1))
resolv = Path(folder, "resolv.conf")
resolv.write_text("nameserver 127.0.0.1")
subprocess.run(["mount", "--bind", resolv, "/etc/resolv.conf"], check=True)

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))

def answer():
    while True:
        query, client = server.recvfrom(512)
        name, at = [], 12
        while length := query[at]:
            name.append(query[at + 1 : at + 1 + length].decode())
            at += length + 1
        with open(Path(folder, "asked"), "a") as asked:
            print(".".join(name), file=asked)
        server.sendto(query[:2] + bytes([0x81, 0x83]) + query[4:6] + bytes(6) + query[12:], client)

threading.Thread(target=answer, daemon=True).start()
sys.exit(subprocess.run(command).returncode)
"""


def names_asked_for(
    command: Sequence[str | Path], folder: Path, env: Mapping[str, str] | None = None
) -> tuple[list[str], list[Path]]:
    """Carry a command out in ``folder``, with a home of its own.

    Returns:
        The names that it looked up, and the files that it left in the home's cache.
    """
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        missing("who is called was not watched: that needs Linux, root and `unshare` (util-linux)")
    home = folder / "home"
    home.mkdir(exist_ok=True)
    without = {"XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY"}  # as it is for a user
    environment = {key: value for key, value in os.environ.items() if key not in without}
    environment["PYTHONPATH"] = str(Path(fittingroom.__file__).parents[1])  # wherever the folder is

    done = subprocess.run(
        ["unshare", "--mount", "--net", sys.executable, "-c", INSIDE, str(folder), *map(str, command)],
        cwd=folder,
        env=environment | {"HOME": str(home)} | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    asked = folder / "asked"
    names = asked.read_text(encoding="utf-8").split() if asked.exists() else []
    return names, [file for file in (home / ".cache").rglob("*") if file.is_file()]
