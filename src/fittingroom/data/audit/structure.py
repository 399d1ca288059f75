"""Whether images are as they should be, one look after the other, each at what the one before has put right."""

from fittingroom.data.audit.findings import Finding
from fittingroom.data.audit.layout import shifted, wrong_width
from fittingroom.data.audit.orientation import inverted, turned
from fittingroom.data.dataset import Dataset


def straightened(part: Dataset) -> tuple[list[Finding], Dataset]:
    """Return what is wrong with the images as such, and the set with all of it undone that can be known."""
    findings: list[Finding] = []
    for look in (wrong_width, shifted, turned, inverted):
        found, part = look(part)
        findings += found
    return findings, part
