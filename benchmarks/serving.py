"""How many requests a second does `serve` answer, and how long do they take, next to 20 lines of FastAPI and torch?

The same run and the same image as JSON, one image a request, by wrk with 1, 8 and 64 connections, the servers in
turns: each round asks all of them. wrk shares the machine with the servers. ``fittingroom, binary`` is the same request
with the tensor as bytes; ``fittingroom, no log`` has `--log off`, while the other writes a line a request into a file.

    benchmarks/.venv/bin/python benchmarks/serving.py RUN [--rounds 5] [--seconds 5] [--quick]

Needs Debian's wrk, and fastapi. A round takes about a minute. --quick tries the script and records nothing.

Last result:
  2026-11-30, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit 79cf3a867aed
    fittingroom × 1, requests_per_second: median 3,027, mean 3,026 ± 142.6, n 4
    fittingroom × 1, p50_ms: median 0.3055, mean 0.3060 ± 0.01192, n 4
    fittingroom × 1, p99_ms: median 0.7670, mean 0.8330 ± 0.1978, n 4
    fittingroom, binary × 1, requests_per_second: median 3,556, mean 3,518 ± 262.3, n 4
    fittingroom, binary × 1, p50_ms: median 0.2575, mean 0.2657 ± 0.02225, n 4
    fittingroom, binary × 1, p99_ms: median 0.6595, mean 0.6795 ± 0.08623, n 4
    FastAPI and torch × 1, requests_per_second: median 962.5, mean 955.1 ± 25.96, n 4
    FastAPI and torch × 1, p50_ms: median 0.9450, mean 0.9450 ± 0.01291, n 4
    FastAPI and torch × 1, p99_ms: median 2.110, mean 2.110 ± 0.1309, n 4
    fittingroom × 8, requests_per_second: median 4,378, mean 4,378 ± 235.7, n 4
    fittingroom × 8, p50_ms: median 1.750, mean 1.760 ± 0.07789, n 4
    fittingroom × 8, p99_ms: median 2.945, mean 2.985 ± 0.1741, n 4
    fittingroom, binary × 8, requests_per_second: median 5,548, mean 5,536 ± 137.0, n 4
    fittingroom, binary × 8, p50_ms: median 1.390, mean 1.385 ± 0.03416, n 4
    fittingroom, binary × 8, p99_ms: median 2.300, mean 2.300 ± 0.1409, n 4
    FastAPI and torch × 8, requests_per_second: median 725.5, mean 716.5 ± 31.84, n 4
    FastAPI and torch × 8, p50_ms: median 10.65, mean 10.88 ± 0.5458, n 4
    FastAPI and torch × 8, p99_ms: median 48.94, mean 48.79 ± 35.78, n 4
    fittingroom × 64, requests_per_second: median 4,521, mean 4,596 ± 371.5, n 4
    fittingroom × 64, p50_ms: median 13.70, mean 13.63 ± 0.9323, n 4
    fittingroom × 64, p99_ms: median 17.26, mean 18.21 ± 3.113, n 4
    fittingroom, binary × 64, requests_per_second: median 6,458, mean 6,467 ± 223.4, n 4
    fittingroom, binary × 64, p50_ms: median 9.760, mean 9.717 ± 0.3619, n 4
    fittingroom, binary × 64, p99_ms: median 14.61, mean 14.59 ± 1.910, n 4
    FastAPI and torch × 64, requests_per_second: median 513.2, mean 507.9 ± 22.26, n 4
    FastAPI and torch × 64, p50_ms: median 113.8, mean 115.8 ± 4.612, n 4
    FastAPI and torch × 64, p99_ms: median 257.1, mean 257.7 ± 11.73, n 4
    fittingroom × 1, times as many as FastAPI and torch: median 3.113, mean 3.172 ± 0.2156, n 4
    fittingroom × 8, times as many as FastAPI and torch: median 6.193, mean 6.116 ± 0.3468, n 4
    fittingroom × 64, times as many as FastAPI and torch: median 9.191, mean 9.049 ± 0.6024, n 4
    fittingroom, no log × 1, requests_per_second: median 3,075, mean 3,055 ± 110.2, n 4
    fittingroom, no log × 1, p50_ms: median 0.3005, mean 0.3078 ± 0.01552, n 4
    fittingroom, no log × 1, p99_ms: median 0.4935, mean 0.5098 ± 0.06020, n 4
    fittingroom, no log × 8, requests_per_second: median 4,581, mean 4,527 ± 187.5, n 4
    fittingroom, no log × 8, p50_ms: median 1.715, mean 1.742 ± 0.07365, n 4
    fittingroom, no log × 8, p99_ms: median 2.315, mean 2.375 ± 0.1940, n 4
    fittingroom, no log × 64, requests_per_second: median 5,090, mean 5,061 ± 180.8, n 4
    fittingroom, no log × 64, p50_ms: median 12.34, mean 12.47 ± 0.5026, n 4
    fittingroom, no log × 64, p99_ms: median 16.10, mean 16.51 ± 2.730, n 4
    fittingroom × 1, times as many as fittingroom, no log: median 0.9843, mean 0.9926 ± 0.08097, n 4
    fittingroom × 8, times as many as fittingroom, no log: median 0.9555, mean 0.9695 ± 0.08506, n 4
    fittingroom × 64, times as many as fittingroom, no log: median 0.9143, mean 0.9087 ± 0.07446, n 4
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import record

CONNECTIONS = (1, 8, 64)
OURS, BINARY, NO_LOG, PLAIN = "fittingroom", "fittingroom, binary", "fittingroom, no log", "FastAPI and torch"
MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
PLAIN_SERVER = Path(__file__).with_name("plain_server.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(args.run) as urls:
        requests = {name: lua_script(Path(folder, f"{i}.lua"), name) for i, name in enumerate(urls)}
        taken: dict[tuple[str, int], list[dict[str, float]]] = {}
        for _ in range(1 if args.quick else args.rounds):
            for connections in CONNECTIONS:
                for name, url in urls.items():
                    found = load(url, requests[name], connections, 1 if args.quick else args.seconds)
                    taken.setdefault((name, connections), []).append(found)
                    print(f"{name}, {connections} connections: {found}", file=sys.stderr, flush=True)
    figures = [
        record.figure(f"{name} × {connections}", metric, [each[metric] for each in found])
        for (name, connections), found in taken.items()
        for metric in ("requests_per_second", "p50_ms", "p99_ms")
    ]
    for connections in CONNECTIONS:
        ours, plain = ([each["requests_per_second"] for each in taken[name, connections]] for name in (OURS, PLAIN))
        figures.append(record.ratios(f"{OURS} × {connections}", f"times as many as {PLAIN}", ours, plain))
        no_log = [each["requests_per_second"] for each in taken[NO_LOG, connections]]
        figures.append(record.ratios(f"{OURS} × {connections}", f"times as many as {NO_LOG}", ours, no_log))
    record.show(figures)
    if not args.quick:
        record.append(__file__, figures)


@contextmanager
def serving(run: Path) -> Iterator[dict[str, str]]:
    """All servers at work; where each of them is asked."""
    ours, no_log, plain = free_port(), free_port(), free_port()
    serve = [sys.executable, "-m", "fittingroom", "serve", str(run), "--port"]
    commands = [
        [*serve, str(ours)],
        [*serve, str(no_log), "--log", "off"],
        [sys.executable, str(PLAIN_SERVER), str(run), str(plain)],
    ]
    with tempfile.TemporaryFile() as log:
        processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log) for command in commands]
        try:
            for port, process in zip((ours, no_log, plain), processes, strict=True):
                wait_for(port, process)
            infer = [f"http://127.0.0.1:{port}/v2/models/{run.resolve().name}/infer" for port in (ours, no_log)]
            yield {OURS: infer[0], BINARY: infer[0], NO_LOG: infer[1], PLAIN: f"http://127.0.0.1:{plain}/predict"}
        finally:
            for process in processes:
                process.terminate()
                process.wait()


def lua_script(file: Path, name: str) -> Path:
    """What wrk sends."""
    image = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    tensor = {"name": "images", "shape": [1, 28, 28], "datatype": "UINT8"}
    head, body = "", b""
    if name == PLAIN:
        body = json.dumps({"data": image.tolist()}).encode()
    elif name in (OURS, NO_LOG):
        body = json.dumps({"inputs": [tensor | {"data": image.reshape(-1).tolist()}]}).encode()
    else:
        described = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": image.size}}]}).encode()
        head, body = f'wrk.headers["Inference-Header-Content-Length"] = "{len(described)}"', described + image.tobytes()
    content = file.with_suffix(".body")
    content.write_bytes(body)
    file.write_text(
        f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n{head}\n'
        f'local file = io.open("{content}", "rb")\nwrk.body = file:read("*a")\n',
        encoding="utf-8",
    )
    return file


def load(url: str, request: Path, connections: int, seconds: int) -> dict[str, float]:
    """One measurement by wrk. Every answer has to be a 200."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(request), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"{url}: answers with 200 expected\n{said}")
    found = {"requests_per_second": float(re.search(r"Requests/sec: +([\d.]+)", said)[1])}
    for percent in (50, 99):
        match = re.search(rf"{percent}% +([\d.]+)(us|ms|s)", said)
        found[f"p{percent}_ms"] = float(match[1]) * MILLISECONDS[match[2]]
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        with socket.socket() as connection:
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            raise SystemExit(f"{process.args}: a server expected, it ended with {process.returncode}")
        time.sleep(0.1)
    raise SystemExit(f"{process.args}: does not answer")


if __name__ == "__main__":
    main()
