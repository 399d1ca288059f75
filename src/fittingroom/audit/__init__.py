"""What is wrong with data: damaged files, images that aren't whole, other data than one thinks, leaks, bad labels.

    check(["fashion-mnist_train.csv", "fashion-mnist_test.csv"]).findings

Each finding has a name that stays the same, a severity, what was seen with figures, and what to do. ``check.py`` runs
the checks in their order:

    bytes            read_damaged.py (what lies at a path), damaged_idx.py, file_bytes.py, text_mode.py
    types, ranges    values.py
    images           layout.py (whole?), orientation.py (upright, white on black?)
    labels           labels.py (displaced, out of range, missing, rare)
    which set it is  identity.py, by reference.py and its ``manifest/``
    repeated images  repeats.py, by near_duplicates.py
    statistics       statistics.py (shifts between parts, constant images, a pixel that tells the label)

``findings.py`` says what a finding is, ``page.py`` draws a report, ``repair.py`` writes what could be repaired.
``label_issues.py`` and ``subsets.py`` serve ``evaluate``: accuracy without the images that are in doubt.

A new check: where it repairs images (a set → findings, the set repaired), copy ``orientation.py`` and add it to
``IMAGE_CHECKS`` of ``check.py``; where it only reports (a part → findings), copy ``constant_images`` of
``statistics.py`` and add it to ``PART_CHECKS``. Its name goes into ``NAMES`` of ``findings.py`` and into the table of
docs/data-check.md, its planted faults into tests/audit.
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
