"""What ``/metrics`` counts, in Prometheus's text format."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict

SECONDS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
IMAGES_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Histogram:
    """Counts of values at or below each bound, their number and their sum."""

    def __init__(self, bounds: tuple[float, ...]):
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str, labels: str = "") -> list[str]:
        """Its lines in the text format; ``labels`` such as ``model="a"``."""
        braced, comma = (f"{{{labels}}}", labels + ",") if labels else ("", "")
        total, lines = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            lines.append(f'{name}_bucket{{{comma}le="{bound}"}} {total}')
        return [*lines, f"{name}_sum{braced} {self.sum}", f"{name}_count{braced} {total}"]


class Metrics:
    """Everything that the server counts. Used in its event loop only."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = defaultdict(int)
        self.seconds = Histogram(SECONDS_BOUNDS)
        self.batches: dict[str, Histogram] = defaultdict(lambda: Histogram(IMAGES_BOUNDS))

    def request_done(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request by its endpoint (never by the path itself: that is the client's to choose)."""
        self.requests[endpoint, status] += 1
        self.seconds.observe(seconds)

    def text(self, waiting: dict[str, int]) -> str:
        """The page; ``waiting`` has the images in each model's queue."""
        lines = ["# TYPE fittingroom_requests_total counter"]
        lines += [
            f'fittingroom_requests_total{{endpoint="{endpoint}",status="{status}"}} {count}'
            for (endpoint, status), count in sorted(self.requests.items())
        ]

        lines += ["# TYPE fittingroom_request_seconds histogram", *self.seconds.lines("fittingroom_request_seconds")]

        lines.append("# TYPE fittingroom_batch_images histogram")
        for model, batches in sorted(self.batches.items()):
            lines += batches.lines("fittingroom_batch_images", f'model="{_escaped(model)}"')

        lines.append("# TYPE fittingroom_waiting_images gauge")
        lines += [f'fittingroom_waiting_images{{model="{_escaped(model)}"}} {n}' for model, n in waiting.items()]
        return "\n".join(lines) + "\n"


def _escaped(label: str) -> str:
    """A label's value as the format has it: a run's folder may have any name."""
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
