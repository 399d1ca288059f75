"""README.md and README.zh-CN.md say the same things: the same commands, the same output, the same figures.

So do the tutorial and its Chinese twin.
"""

from __future__ import annotations

import re
from collections import Counter

from tests.docs.pages import ROOT, Block, blocks_of

ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
BENCH = re.compile(r"<!-- bench: made by .*?<!-- bench: end -->", re.DOTALL)  # written by a script, in English alone
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])\d[\d,.×]*(?:\.\d+)?")


def without_comments(block: Block) -> list[str]:
    """A block's lines; of a command what the shell reads, as comments are translated."""
    lines = block.text.splitlines()
    return [line.partition(" #")[0].rstrip() if block.language == "sh" else line for line in lines]


def prose(readme: str) -> str:
    return CODE.sub("", BENCH.sub("", readme))


def test_both_have_the_same_blocks_in_the_same_order() -> None:
    english, chinese = blocks_of(ENGLISH), blocks_of(CHINESE)
    assert [block.language for block in english] == [block.language for block in chinese]
    for one, other in zip(english, chinese, strict=True):
        assert without_comments(one) == without_comments(other), f"{one.where} and {other.where}"
        assert one.why_not_run == other.why_not_run


def test_both_name_the_same_commands_options_and_files() -> None:
    def spans(text: str) -> Counter[str]:
        return Counter(re.findall(r"`([^`]+)`", prose(text).replace("\n", " ")))

    assert spans(ENGLISH.read_text("utf-8")) == spans(CHINESE.read_text("utf-8"))


def test_both_have_the_same_figures() -> None:
    def figures(text: str) -> Counter[str]:
        plain = re.sub(r"`[^`]*`|\]\([^)]*\)", " ", prose(text)).replace("\\", "")
        return Counter(number.rstrip(",.") for number in NUMBER.findall(plain))

    assert figures(ENGLISH.read_text("utf-8")) == figures(CHINESE.read_text("utf-8"))


def test_both_have_the_same_sections() -> None:
    one, other = (
        re.findall(r"^(#+) ", CODE.sub("", file.read_text("utf-8")), re.MULTILINE) for file in (ENGLISH, CHINESE)
    )
    assert one == other


def test_both_link_to_the_same_files_and_all_exist() -> None:
    links = {
        file: re.findall(r"\]\((?!https?:)([^)#]+)", file.read_text("utf-8"))
        for file in (ENGLISH, CHINESE, ROOT / "CONTRIBUTING.md")
    }
    for file, names in links.items():
        assert [name for name in names if not (ROOT / name).exists()] == [], file.name
    across = {
        "README.md": "",
        "README.zh-CN.md": "",
        "notebooks/fashion_mnist.zh-CN.ipynb": "notebooks/fashion_mnist.ipynb",
        "docs/zh-CN/tutorial.md": "docs/start/tutorial.md",
    }
    one, other = ([across.get(name, name) for name in links[file]] for file in (ENGLISH, CHINESE))
    assert one == other


def test_the_tutorials_have_the_same_blocks_figures_and_links() -> None:
    english, chinese = (ROOT / "docs" / name / "tutorial.md" for name in ("start", "zh-CN"))
    assert [block.text for block in blocks_of(english)] == [block.text for block in blocks_of(chinese)]
    one, other = (CODE.sub("", file.read_text("utf-8")) for file in (english, chinese))
    assert links(one) - {"../zh-CN/tutorial.md"} == links(other) - {"../start/tutorial.md"}
    assert [name for name in links(other) if not (chinese.parent / name).exists()] == []
    assert figures(one) == figures(other)


def links(text: str) -> set[str]:
    return set(re.findall(r"\]\(([^)#]+)\)", text))


def figures(text: str) -> set[str]:
    """The numbers with two digits or more: small ones may be words in one of the languages."""
    plain = re.sub(r"`[^`]*`|\]\([^)]*\)|<[^>]*>", " ", text)
    return {number.rstrip(",.") for number in NUMBER.findall(plain) if len(number.rstrip(",.")) > 1}


def test_contributing_names_files_that_exist() -> None:
    text = CODE.sub("", (ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    names = re.findall(r"`((?:src|tests|docs|benchmarks|notebooks|scripts)/[^`<>]+|[\w-]+\.(?:md|toml))`", text)
    assert len(names) > 30
    assert [name for name in names if not (ROOT / name).exists()] == []
