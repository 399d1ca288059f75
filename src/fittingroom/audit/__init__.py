"""What is wrong with data: damaged files, images that aren't whole, other data than one thinks, leaks, bad labels.

    check(["fashion-mnist_train.csv", "fashion-mnist_test.csv"]).findings

Each finding has a name that stays the same, a severity, what was seen with figures, and what to do.
"""

from fittingroom.audit.check import Checked, Report, check, fast_findings
from fittingroom.audit.findings import NAMES, SEVERITIES, Finding
from fittingroom.audit.page import as_html, as_sheet
from fittingroom.audit.repair import write_repaired

__all__ = [
    "NAMES",
    "SEVERITIES",
    "Checked",
    "Finding",
    "Report",
    "as_html",
    "as_sheet",
    "check",
    "fast_findings",
    "write_repaired",
]
