"""What the tests share: networks of somebody's own, planted faults, programs to be run in processes of their own."""

from pathlib import Path

SUPPORT = Path(__file__).parent
GOLDEN = SUPPORT.parent / "golden"
NARROW = "model_args.widths=[4,8,16]"  # the residual network, for tests that any of its sizes would do for
PATIENCE = 300  # seconds that a test waits for a process: for one that hangs, and no verdict on a busy machine
