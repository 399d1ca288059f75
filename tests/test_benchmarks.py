"""What the bench has measured and what is said of it agree."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_readme_and_scripts_say_what_results_csv_says() -> None:
    check = subprocess.run([sys.executable, BENCHMARKS / "table.py", "--check"], capture_output=True, text=True)
    assert check.returncode == 0, check.stderr


def test_a_changed_figure_in_the_readme_is_found(tmp_path: Path) -> None:
    readme = BENCHMARKS.parent / "README.md"
    text = readme.read_text(encoding="utf-8")
    assert "| `swift` |" in text
    changed = tmp_path / "README.md"
    changed.write_text(text.replace("| `swift` |", "| `swifter` |"), encoding="utf-8")
    check = subprocess.run(
        [sys.executable, BENCHMARKS / "table.py", "--check", "--readme", changed], capture_output=True, text=True
    )
    assert check.returncode == 1
    assert "README.md: differs" in check.stderr
