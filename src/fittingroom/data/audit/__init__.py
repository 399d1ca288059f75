"""What is wrong with data: damaged files, images that aren't whole, other data than one thinks, leaks, bad labels.

    check(["fashion-mnist_train.csv", "fashion-mnist_test.csv"]).findings

Each finding has a name that stays the same, a severity, what was seen with figures, and what to do.
"""

from fittingroom.data.audit.check import Checked, Report, check, fast_findings
from fittingroom.data.audit.findings import NAMES, SEVERITIES, Finding
from fittingroom.data.audit.repair import write_repaired
from fittingroom.data.audit.sheets import as_html, as_sheet

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
