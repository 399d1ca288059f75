"""The matrix of a comparison: its counts are those of the discordant images, and its cells open them."""

from __future__ import annotations

import base64
import html
import io
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fittingroom.compare import Compared, compare_runs
from fittingroom.compare.matrix import DifferenceMatrix, difference_matrix
from fittingroom.compare.page import page_of
from tests.support.small_run import train_small


def english_page(compared: Compared) -> str:
    return re.sub(r' data-zh(?:-names)?="[^"]*"', "", page_of(compared))  # where the Chinese goes


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Two models of one recipe on the sample's test images, which they often get wrong."""
    folder = tmp_path_factory.mktemp("matrix")
    runs = [train_small(folder / name, f"seed={seed}") for seed, name in enumerate(("one", "two"))]
    for run in runs:
        run.evaluate()
    return compare_runs(runs)


@pytest.fixture(scope="module")
def matrix(compared: Compared) -> DifferenceMatrix:
    found = difference_matrix(compared.disagreements[0])
    assert found is not None
    return found


def test_cells_count_the_mistakes_that_only_one_of_the_two_makes(compared: Compared, matrix: DifferenceMatrix) -> None:
    discordant = compared.as_dict()["comparisons"][0]["discordant"]
    gained = Counter((each["class"], each["predicted"]) for each in discordant if each["right"] == "two")
    lost = Counter((each["class"], each["predicted"]) for each in discordant if each["right"] == "one")
    assert {(cell.truth, cell.predicted): cell.gained for cell in matrix.cells.values() if cell.gained} == gained
    assert {(cell.truth, cell.predicted): cell.lost for cell in matrix.cells.values() if cell.lost} == lost
    assert all(
        (matrix.classes[row], matrix.classes[column]) == (cell.truth, cell.predicted)
        for (row, column), cell in matrix.cells.items()
    )


def test_a_cell_opens_up_to_six_images_of_both_kinds(compared: Compared, matrix: DifferenceMatrix) -> None:
    for cell in matrix.cells.values():
        assert len(cell.tiles) == min(6, cell.gained + cell.lost)
        kinds = Counter(tile.is_gained for tile in cell.tiles)
        assert kinds[True] >= min(3, cell.gained)
        assert kinds[False] >= min(3, cell.lost)

    page = english_page(compared)
    labelled = re.findall('<figcaption>labelled (.*?)<br><span class="answer">answer: (.*?)</span>', page)
    wrong = Counter((html.unescape(truth), html.unescape(answer)) for truth, answer in labelled)
    discordant = compared.as_dict()["comparisons"][0]["discordant"]
    assert wrong <= Counter((each["class"], each["predicted"]) for each in discordant)
    assert wrong
    targets = re.findall(r'<a href="#(cell-0-\d+-\d+)"', page)
    assert len(targets) == len(matrix.cells)
    for target in targets:
        assert page.count(f'id="{target}"') == 1
    assert page.count('class="sprite-0 sprite"') == sum(len(cell.tiles) for cell in matrix.cells.values())
    assert "<script" not in page.partition("</main>")[0]  # below it is the switch of language alone


def test_the_page_lists_the_classes_that_something_can_be_said_of_with_the_figures_of_json(compared: Compared) -> None:
    (comparison,) = compared.as_dict()["comparisons"]
    telling = [row for row in comparison["per_class"] if row["says_something"]]
    section = english_page(compared).partition("<h2>Class by class</h2>")[2].partition("</section>")[0]
    shown = re.findall(r'<th scope="row">(.*?)</th>\s*<td class="number">(.*?)</td>\s*<td.*?>(.*?)</td>', section)
    assert telling
    assert shown == [(html.escape(row["name"]), f"{row['n']:,}", f"{row['first']:.2%}") for row in telling]

    # Of few seeds no class says anything: then there is a sentence, and no table of intervals that leave nothing out.
    silent = [replace(row, interval=None, p_holm=None, differs=False) for row in compared.comparisons[0].per_class]
    few = replace(compared, comparisons=[replace(compared.comparisons[0], per_class=silent)])
    section = english_page(few).partition("<h2>Class by class</h2>")[2].partition("</section>")[0]
    assert "too few images, or seeds" in section
    assert "<table" not in section


def test_a_tile_shows_the_image_that_it_names(compared: Compared, matrix: DifferenceMatrix) -> None:
    sprite = matrix.sprite
    assert sprite is not None
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(sprite.source.partition(",")[2]))))
    pixels = {digest[:16]: image for digest, image in compared.disagreements[0].pixels.items()}
    for cell in matrix.cells.values():
        for tile in cell.tiles:
            column, row = (
                round(share * (n - 1) / 100) for share, n in ((tile.x, sprite.columns), (tile.y, sprite.rows))
            )
            digest = re.findall(r"SHA-256 (\w{16})", tile.says)[0]
            np.testing.assert_array_equal(
                sheet[28 * row : 28 * row + 28, 28 * column : 28 * column + 28], pixels[digest]
            )
            assert cell.predicted in tile.says


def test_without_images_the_counts_stay_and_many_classes_have_no_matrix(compared: Compared, tmp_path: Path) -> None:
    first, _ = compared.answers[0]
    gone = replace(compared.disagreements[0])
    gone.__dict__["_opened"] = {}, "the data is gone"
    matrix = difference_matrix(gone)
    assert matrix is not None
    assert matrix.sprite is None
    assert not any(cell.tiles for cell in matrix.cells.values())
    page = english_page(replace(compared, disagreements=[gone]))
    assert "Which mistakes differ" in page
    assert 'href="#cell' not in page

    many = replace(first, classes=tuple(f"{number}" for number in range(30)))
    assert difference_matrix(replace(gone, first=many)) is None
    assert difference_matrix(replace(gone, images=[])) is None


def test_a_class_of_any_name_stays_text(compared: Compared) -> None:
    evil = "<script>alert(1)</script>"
    disagreements = compared.disagreements[0]
    image = replace(disagreements.images[0], truth=evil, file='"><img src=x>')
    first = replace(disagreements.first, classes=(*disagreements.first.classes, evil))
    changed = replace(disagreements, first=first, images=[image])
    page = english_page(replace(compared, disagreements=[changed]))
    assert evil not in page
    assert '"><img src=x>' not in page
