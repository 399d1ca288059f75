"""A page in a second language: it is rendered in English, and what stands in a catalogue is carried beside it.

A catalogue (``*.zh.txt``) has each sentence in English and below it in Chinese, with figures and names as ``{n}`` (a
figure), ``{t}`` (text without markup that ends no sentence), ``{h}`` (anything) or ``{x}`` (what the catalogue has
itself); a number tells several of a kind apart. They are taken over as they are, so that no figure can differ between
the languages. A text is translated as a whole or not at all. Names of Fashion-MNIST's classes are the exception: they
have the names that the scripts of all pages give them.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from fittingroom.rendering.html_page import render_page
from fittingroom.rendering.page_script import json_in_page, source_of

FOLDER = Path(__file__).parent
KINDS = {"n": r"[\d.,:%<≤ +−×/e±–-]+?", "t": r"(?:(?![.!?] )[^<>])+?", "h": r".+?", "x": r".+?"}
PLACE = re.compile(r"\{([nthx])(\d*)\}")

# Of a page: parts with words of their own, what has none, and the elements that hold a text or a name for it.
SKIPPED = re.compile(r"<(script|style|pre)\b.*?</\1>|<section id=\"try\".*?</section>", re.DOTALL)
ELEMENT = re.compile(
    r"<(h1|h2|h3|p|dt|dd|th|td|li|figcaption|summary|text|title|span|footer)\b((?![^>]*data-[a-z]+-word)[^>]*)>"
    r"(.*?)</\1>",
    re.DOTALL,
)
ATTRIBUTES = re.compile(r"<(?:\w+)\b[^>]*>")
ATTRIBUTE = re.compile(r'\s(title|aria-label|alt)="([^"]+)"')
WORD = re.compile(r"[A-Za-z]{2}")
CLASS_NAME = re.compile(r'^ +"?([^":]+)"?: "(.+)",$', re.MULTILINE)  # a line of the table for scripts

# Of a page with its Chinese: where it is, an element that has a text of its own, and one with a name.
TEXTS = re.compile(r'<script type="application/json" id="languages-texts">([^<]*)</script>')
NUMBERED = re.compile(r'<(\w+)\b[^<>]* data-zh="([0-9]+)"[^<>]*>')
NAMED = re.compile(r'<[^<>]* data-zh-names="([^"<>]*)"[^<>]*>')

# Names in a text may be a stranger's, and a pattern with three places takes time by the cube of a text's length. The
# longest sentences that a page says have less than half of these.
LONGEST, MOST_STOPS = 800, 12  # characters of a text that is translated; places at which it may be taken apart
EFFORT = 40_000_000  # squared lengths of the texts of a page that were tried in vain, after which it stays English


@dataclass(frozen=True)
class Entry:
    """A sentence of a catalogue: a pattern of its English, and its Chinese."""

    pattern: re.Pattern[str]
    chinese: str


@dataclass(frozen=True)
class Language:
    """What a page needs for its second language.

    Attributes:
        script: the switch.
        script_source: its hash, as a content security policy has it.
    """

    script: str
    script_source: str


@cache
def language_switch() -> Language:
    """The switch, as each page has it."""
    script = "\n" + (FOLDER / "language.js").read_text(encoding="utf-8")
    return Language(script, source_of(script))


@cache
def read_catalogue(name: str) -> tuple[Entry, ...]:
    """The entries of ``<name>.zh.txt``, the longest first, so that what says more is tried before."""
    blocks = (FOLDER / f"{name}.zh.txt").read_text(encoding="utf-8").strip().split("\n\n")
    pairs = [block.split("\n") for block in blocks if not block.startswith("#")]
    return tuple(_entry(english, chinese) for english, chinese in sorted(pairs, key=lambda pair: -len(pair[0])))


@cache
def class_names() -> dict[str, str]:
    """The Chinese names of classes that have one."""
    return dict(CLASS_NAME.findall((FOLDER.parent / "class_names.js").read_text(encoding="utf-8")))


def translated(text: str, catalogue: str) -> str | None:
    """The text in Chinese, sentence after sentence; None where a part of it does not stand in the catalogue.

    Args:
        text: inner HTML of an element, in English.
        catalogue: its name.
    """
    return _translated(_plain(text), catalogue) if len(text) <= LONGEST else None


def page_in_two_languages(template: Path, content: Mapping[str, Any], catalogue: str) -> str:
    """Fill in a template that has the switch of ``page_head.html``, and put its Chinese beside it.

    Args:
        template, content: as for :func:`~fittingroom.rendering.html_page.render_page`; the template sees ``language``.
        catalogue: by which it is translated.
    """
    return with_chinese(render_page(template, {**content, "language": language_switch()}), catalogue)


def with_chinese(page: str, catalogue: str) -> str:
    """The page with its Chinese beside it: elements are numbered, and the last script holds their texts.

    Args:
        page: whole, in English, with ``<!-- languages -->`` where the texts are to go.
        catalogue: by which it is translated.
    """
    texts: dict[str, int] = {}

    def number(text: str) -> int:
        return texts.setdefault(text, len(texts))

    in_vain = 0

    def chinese_of(text: str) -> str | None:
        nonlocal in_vain
        if len(text) > LONGEST or in_vain > EFFORT:
            return None
        chinese = translated(text, catalogue)
        in_vain += len(text) ** 2 if chinese is None else 0
        return chinese

    def of_element(match: re.Match[str]) -> str:
        tag, attributes, inner = match.groups()
        chinese = chinese_of(inner) if WORD.search(re.sub("<[^>]*>", "", inner)) else None
        if chinese is None:
            nested = ELEMENT.sub(of_element, inner)
            return f"<{tag}{attributes}>{nested}</{tag}>"
        return f'<{tag}{attributes} data-zh="{number(chinese)}">{inner}</{tag}>'

    def of_tag(match: re.Match[str]) -> str:
        marks = [
            f"{name}:{number(html.unescape(chinese))}"
            for name, value in ATTRIBUTE.findall(match[0])
            if WORD.search(value) and (chinese := chinese_of(value)) is not None
        ]
        end = "/>" if match[0].endswith("/>") else ">"
        return f'{match[0].removesuffix(end)} data-zh-names="{" ".join(marks)}"{end}' if marks else match[0]

    head, body, rest = page.partition("<body>")
    parts = list(_kept_apart(rest))
    marked = "".join(
        part if is_kept else ATTRIBUTES.sub(of_tag, ELEMENT.sub(of_element, part)) for part, is_kept in parts
    )
    return head + body + marked.replace("<!-- languages -->", json_in_page(list(texts)))


def in_chinese(page: str) -> str:
    """A page that :func:`with_chinese` wrote as its switch shows it in Chinese, for where no script runs.

    Any other page, a stranger's say, stays as it is.
    """
    found = TEXTS.search(page)
    try:
        texts = json.loads(found[1]) if found else None
    except (ValueError, RecursionError):
        return page
    if found is None or not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return page

    def text_of(number: str) -> str | None:
        return texts[int(number)] if len(number) < 6 and int(number) < len(texts) else None

    # Each element goes up to its next end, as it was found: in one pass, whatever a page lacks.
    parts, start, endless = [], 0, set()
    for match in NUMBERED.finditer(page, 0, found.start()):
        chinese, end = text_of(match[2]), f"</{match[1]}>"
        if match.start() < start or chinese is None or end in endless:
            continue
        until = page.find(end, match.end())
        if until < 0:
            endless.add(end)
            continue
        parts += [page[start : match.end()], chinese]
        start = until

    def renamed(match: re.Match[str]) -> str:
        tag = match[0]
        for mark in match[1].split()[:10]:
            name, _, number = mark.partition(":")
            chinese = text_of(number) if number.isdecimal() else None
            if chinese is not None and name in ("title", "aria-label", "alt"):
                before, named, after = tag.partition(f' {name}="')
                tag = before + named + html.escape(chinese) + after[after.find('"') :] if named else tag
        return tag

    whole = NAMED.sub(renamed, "".join([*parts, page[start:]]))
    return whole.replace('<html lang="en">', '<html lang="zh-Hans">', 1)


def _kept_apart(text: str) -> Iterator[tuple[str, bool]]:
    """Its pieces in order, and whether they are left alone."""
    start = 0
    for match in SKIPPED.finditer(text):
        yield text[start : match.start()], False
        yield match[0], True
        start = match.end()
    yield text[start:], False


def _plain(text: str) -> str:
    """As the catalogue has it: one blank for any, apostrophes as they are; quotes within attributes stay escaped."""
    for escaped, mark in (("&nbsp;", " "), ("&#39;", "'"), ("\xa0", " ")):
        text = text.replace(escaped, mark)
    return " ".join(text.split())


@lru_cache(maxsize=4096)
def _translated(text: str, catalogue: str) -> str | None:
    if text in class_names():
        return class_names()[text]

    entries = read_catalogue(catalogue)

    # Several sentences: each ends with a full stop, and what follows is translated by itself. This comes before the
    # text as a whole, in which a place for anything at the end of one would take all that follow with it.
    for stop in islice(re.finditer(r"(?<=[.!?>])\s", text), MOST_STOPS):
        first = _whole(text[: stop.start()], entries, catalogue)
        if first is not None and (after := _translated(text[stop.end() :], catalogue)) is not None:
            return first + after
    return _whole(text, entries, catalogue)


def _whole(text: str, entries: Sequence[Entry], catalogue: str) -> str | None:
    for entry in entries:
        if (match := entry.pattern.fullmatch(text)) and (chinese := _filled(entry, match, catalogue)) is not None:
            return chinese
    return None


def _filled(entry: Entry, match: re.Match[str], catalogue: str) -> str | None:
    """The Chinese with what the English had; None where a part that is to be translated can't be."""
    found = {}
    for name, text in match.groupdict().items():
        part = _translated(text, catalogue) if name.startswith("x") else class_names().get(text, text)
        if part is None:
            return None
        found[name] = part
    return PLACE.sub(lambda place: found[place[1] + place[2]], entry.chinese)


def _entry(english: str, chinese: str) -> Entry:
    pattern, start = "", 0
    for place in PLACE.finditer(english):
        pattern += _escaped(english[start : place.start()], after_place=start > 0)
        name = place[1] + place[2]
        pattern += f"(?P={name})" if f"(?P<{name}>" in pattern else f"(?P<{name}>{KINDS[place[1]]})"
        start = place.end()
    return Entry(re.compile(pattern + _escaped(english[start:], after_place=start > 0)), chinese)


def _escaped(english: str, *, after_place: bool) -> str:
    """A part of a sentence as a pattern; one image is told in the singular, where Chinese has none."""
    escaped = re.escape(english)
    counts = after_place and re.match(r" (test |validation |train )?images\b", english)
    return escaped.replace("images", "images?", 1) if counts else escaped
