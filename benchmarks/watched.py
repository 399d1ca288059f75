"""What does ``train --watch`` cost? A training unwatched and watched, in turns, by wall time of the whole process.

    .venv/bin/python benchmarks/watched.py [DATA] [--turns 10] [--recipe swift] [--page none|reader|browser]

``--page`` is what has the page open: nothing; a reader that asks for news as the page's script does; or Chromium
without a window, which also draws (it takes processor time of its own, which is the browser's, not the program's).
Prints seconds more with Student's 95% interval, beside what is promised: at most 2% or half a second, whichever is
more. Ends with an error where the weights differ. Have nothing else running.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import record
from scipy import stats

SHARE, SECONDS = 0.02, 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", default="fashion-mnist")
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--recipe", default="swift")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--page", choices=("none", "reader", "browser"), default="reader")
    record.add_options(parser)
    args = parser.parse_args()

    seconds: dict[bool, list[float]] = {False: [], True: []}
    weights = set()
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.turns + 1):  # the first one fills caches, and doesn't count
            for is_watched in (False, True) if turn % 2 else (True, False):
                out = Path(folder) / f"{turn}-{is_watched}"
                taken = train(args, out, is_watched)
                weights.add(hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest())
                if turn:
                    seconds[is_watched].append(taken)

    more = [watched - unwatched for unwatched, watched in zip(seconds[False], seconds[True], strict=True)]
    half = 0.0
    if len(more) > 1:
        half = float(stats.t.ppf(0.975, len(more) - 1)) * statistics.stdev(more) / math.sqrt(len(more))
    mean = statistics.fmean(more)
    limit = max(SECONDS, SHARE * statistics.fmean(seconds[False]))
    print(f"{mean:+.2f} s, 95% {mean - half:.2f} to {mean + half:.2f}, n = {len(more)}; promised at most {limit:.2f} s")
    names = {False: args.recipe, True: f"{args.recipe}, watched by {args.page}"}
    figures = [record.figure(names[is_watched], "seconds", taken) for is_watched, taken in seconds.items()]
    record.show(figures)
    record.keep(__file__, figures, args)
    if len(weights) > 1:
        sys.exit("the weights differ")


def train(args: argparse.Namespace, out: Path, is_watched: bool) -> float:
    """Seconds of one training as its user runs it, from its start to its end."""
    command = [sys.executable, "-m", "fittingroom", "train", args.data, "--recipe", args.recipe, "--out", str(out)]
    command += [*(["--threads", str(args.threads)] if args.threads else []), "--quiet", *["--watch"] * is_watched]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url, said = "", []
        for line in process.stderr if is_watched else ():
            said.append(line)
            if match := re.search(r"^watch +(http://\S+)", line):
                url = match[1]
                break
        with opened(url, args.page):
            said.append(process.stderr.read())
            process.wait()
            seconds = time.perf_counter() - started
    if process.returncode or is_watched != bool(url):
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}\n{''.join(said)}")
    return seconds


@contextmanager
def opened(url: str, how: str) -> Iterator[None]:
    """Have the page open for the length of the block."""
    if not url or how == "none":
        yield
    elif how == "browser":
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            browser.new_page().goto(url)
            yield
            browser.close()
    else:
        over = threading.Event()
        reader = threading.Thread(target=ask, args=(url, over), daemon=True)
        reader.start()
        yield
        over.set()
        reader.join()


def ask(url: str, over: threading.Event) -> None:
    """Ask for news one question after another, until the report is there or nobody answers any more."""
    version = ""
    while not over.is_set():
        with suppress(URLError, OSError):
            answer = urlopen(f"{url}state?seen={version}", timeout=40).read().decode()
            version = re.findall(r'"version": "(\w+)"', answer)[-1]
            if '"standing": "report"' in answer:
                urlopen(f"{url}report", timeout=40).read()
                return


if __name__ == "__main__":
    main()
