"""How many requests a second does `serve` answer, and how long do they take, next to 20 lines of FastAPI and torch?

The same run and the same image as JSON, one image a request, by wrk with 1, 8 and 64 connections, the servers in
turns: each round asks all of them. wrk shares the machine with the servers. ``fittingroom, binary`` is the same request
with the tensor as bytes; ``fittingroom, no log`` has `--log off`, while the other writes a line a request into a file.

    benchmarks/.venv/bin/python benchmarks/serving.py RUN [--rounds 5] [--seconds 5] [--quick]

Needs Debian's wrk, and fastapi. A round takes about a minute. --quick tries the script and records nothing.

Last result:
  2026-11-30, AMD EPYC, 2 cores, torch 2.13.0+cpu, commit ecbcb9db9541
    fittingroom × 1, requests_per_second: median 2,224, mean 2,237 ± 68.45, n 5
    fittingroom × 1, p50_ms: median 0.4190, mean 0.4194 ± 0.01440, n 5
    fittingroom × 1, p99_ms: median 1.250, mean 1.224 ± 0.08905, n 5
    fittingroom, binary × 1, requests_per_second: median 2,806, mean 2,797 ± 79.45, n 5
    fittingroom, binary × 1, p50_ms: median 0.3270, mean 0.3274 ± 0.007092, n 5
    fittingroom, binary × 1, p99_ms: median 1.020, mean 1.081 ± 0.3313, n 5
    FastAPI and torch × 1, requests_per_second: median 932.7, mean 925.0 ± 50.40, n 5
    FastAPI and torch × 1, p50_ms: median 0.9700, mean 0.9940 ± 0.07829, n 5
    FastAPI and torch × 1, p99_ms: median 3.880, mean 4.344 ± 1.952, n 5
    fittingroom × 8, requests_per_second: median 3,282, mean 3,153 ± 285.6, n 5
    fittingroom × 8, p50_ms: median 2.350, mean 2.512 ± 0.2878, n 5
    fittingroom × 8, p99_ms: median 5.120, mean 4.602 ± 0.8701, n 5
    fittingroom, binary × 8, requests_per_second: median 4,746, mean 4,645 ± 469.1, n 5
    fittingroom, binary × 8, p50_ms: median 1.620, mean 1.672 ± 0.2014, n 5
    fittingroom, binary × 8, p99_ms: median 3.160, mean 3.452 ± 0.9185, n 5
    FastAPI and torch × 8, requests_per_second: median 729.7, mean 704.8 ± 57.20, n 5
    FastAPI and torch × 8, p50_ms: median 10.66, mean 10.92 ± 0.8504, n 5
    FastAPI and torch × 8, p99_ms: median 86.83, mean 75.16 ± 31.91, n 5
    fittingroom × 64, requests_per_second: median 3,945, mean 3,938 ± 209.5, n 5
    fittingroom × 64, p50_ms: median 15.83, mean 16.04 ± 0.8298, n 5
    fittingroom × 64, p99_ms: median 23.66, mean 21.97 ± 3.795, n 5
    fittingroom, binary × 64, requests_per_second: median 6,428, mean 6,551 ± 381.5, n 5
    fittingroom, binary × 64, p50_ms: median 9.640, mean 9.520 ± 0.4614, n 5
    fittingroom, binary × 64, p99_ms: median 14.57, mean 14.79 ± 3.039, n 5
    FastAPI and torch × 64, requests_per_second: median 512.4, mean 476.3 ± 81.35, n 5
    FastAPI and torch × 64, p50_ms: median 115.9, mean 129.2 ± 25.06, n 5
    FastAPI and torch × 64, p99_ms: median 265.7, mean 273.2 ± 26.07, n 5
    fittingroom × 1, times as many as FastAPI and torch: median 2.386, mean 2.422 ± 0.08690, n 5
    fittingroom × 8, times as many as FastAPI and torch: median 4.648, mean 4.517 ± 0.7160, n 5
    fittingroom × 64, times as many as FastAPI and torch: median 7.984, mean 8.457 ± 1.452, n 5
    fittingroom, no log × 1, requests_per_second: median 2,304, mean 2,184 ± 220.3, n 5
    fittingroom, no log × 1, p50_ms: median 0.4140, mean 0.4434 ± 0.05145, n 5
    fittingroom, no log × 1, p99_ms: median 1.050, mean 1.070 ± 0.1173, n 5
    fittingroom, no log × 8, requests_per_second: median 3,357, mean 3,412 ± 149.2, n 5
    fittingroom, no log × 8, p50_ms: median 2.270, mean 2.294 ± 0.1060, n 5
    fittingroom, no log × 8, p99_ms: median 3.930, mean 3.882 ± 0.4969, n 5
    fittingroom, no log × 64, requests_per_second: median 4,214, mean 4,083 ± 221.2, n 5
    fittingroom, no log × 64, p50_ms: median 14.90, mean 15.36 ± 0.8308, n 5
    fittingroom, no log × 64, p99_ms: median 20.08, mean 21.23 ± 2.139, n 5
    fittingroom × 1, times as many as fittingroom, no log: median 0.9777, mean 1.032 ± 0.09054, n 5
    fittingroom × 8, times as many as fittingroom, no log: median 0.9429, mean 0.9231 ± 0.05942, n 5
    fittingroom × 64, times as many as fittingroom, no log: median 0.9470, mean 0.9663 ± 0.06544, n 5
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
