"""The place where 0.1 had what is in :mod:`fittingroom.data.preprocessing` now; for this release."""

from fittingroom.data.preprocessing import encode_png as encode_png
