"""``python -m fittingroom`` is the command ``fittingroom``."""

import os
import sys

# Python looks for modules in the current directory first, where a stranger's torch.py may lie beside the data. This
# package is found by now, and its parts with it.
try:
    if sys.path[0] in ("", os.getcwd()):  # noqa: PTH109
        del sys.path[0]
except FileNotFoundError:  # the directory is gone
    pass

from fittingroom.cli import main

sys.exit(main())
