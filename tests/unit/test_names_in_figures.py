"""Class names come from anywhere: no sink takes them for formulas, markup or commands, and no figure is worth a training run."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager
from PIL import Image
from typer.testing import CliRunner

from tinycats.cli import app
from tinycats.figures import fonts
from tinycats.figures.confusion import confusion_figure, to_image
from tinycats.figures.fonts import shown_names
from tinycats.figures.sheets import captioned_sheet, class_grid
from tinycats.publishing.card import render
from tinycats.runtime.files import read_json, write_json, write_rows

CJK = ["日本猫", "ペルシャ", "한국"]


@pytest.fixture(autouse=True)
def without_caches(monkeypatch):
    """And without fonts that this machine may have besides."""
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [])
    for function in (fonts._shown_names, fonts._system_font):
        function.cache_clear()


def drawn(names: list[str]) -> np.ndarray:
    truth = np.arange(len(names))
    return np.asarray(to_image(confusion_figure(truth, truth, names)).convert("L"))


@pytest.mark.parametrize(
    "names", [["$1_to_$5", "$10"], ["$$", "a$b$c"], ["\\$x\\$", "\\frac{"], ["Ke$ha & A$AP", "{}"], ["_x^2_", "%s %d"]]
)
def test_no_name_is_a_formula(names, caplog):
    image = drawn(names)
    assert image.shape != (100, 100)
    assert not caplog.records


@pytest.mark.parametrize(("name", "other"), [("$a$", "a"), ("Ke$ha & A$AP", "Keha & AAP"), (r"\$", "$")])
def test_dollar_signs_are_drawn_as_they_are(name, other):
    """In formulas they vanish, or the backslash before them does."""
    wide, narrow = drawn([name, "x"]), drawn([other, "x"])
    assert wide.shape == narrow.shape
    assert not (wide == narrow).all()
    texts = confusion_figure(np.array([0, 1]), np.array([0, 1]), [name, "x"]).axes[0].get_yticklabels()
    assert [(text.get_text(), text.get_parse_math()) for text in texts] == [(name, False), ("x", False)]


def test_a_figure_that_cannot_be_drawn_is_white_and_said(caplog):
    figure = confusion_figure(np.array([0, 1]), np.array([0, 1]), ["a", "b"])
    figure.suptitle("$1_to_$")
    with caplog.at_level(logging.WARNING):
        assert to_image(figure).getextrema() == ((255, 255),) * 3
    assert "a figure cannot be drawn" in caplog.text


def test_letters_that_no_font_has_become_numbers_with_one_line_of_legend(caplog):
    with caplog.at_level(logging.WARNING):
        assert shown_names([*CJK, "Bengal"]) == ["#0", "#1", "#2", "Bengal"]
        drawn([*CJK, "Bengal"])
        class_grid(np.zeros((4, 8, 8, 3), np.uint8), [*CJK, "Bengal"])
    assert len(caplog.records) == 1
    assert "#0 = 日本猫, #1 = ペルシャ, #2 = 한국" in caplog.text


@pytest.mark.filterwarnings("error")
def test_no_letter_is_drawn_that_the_font_lacks():
    """matplotlib warns of it, which would leave the figure white; Pillow says nothing."""
    assert (drawn(CJK) < 128).any()
    assert fonts.writable("日本猫\n→ x") == "???\n→ x"


def test_a_font_of_the_system_is_taken_where_it_has_the_letters(monkeypatch, tmp_path):
    """Here a copy of the usual one, while the usual one claims to know nothing."""
    copy = tmp_path / "copy.ttf"
    copy.write_bytes(fonts.FONT_PATH.read_bytes())
    letters = fonts._letters
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(tmp_path / "none.ttf"), str(copy)])
    monkeypatch.setattr(fonts, "_letters", lambda path: letters(path) if path != fonts.FONT_PATH else frozenset())
    assert shown_names(["Bengal", "日本猫"]) == ["Bengal", "#1"]
    assert fonts.font_of("Bengal") == copy
    assert (drawn(["Bengal", "b"]) < 128).any()


def test_joiners_and_marks_need_no_letter():
    assert shown_names(["cafe\u0301", "a\u200db", "a\u00a0b"]) == ["cafe\u0301", "a\u200db", "a\u00a0b"]


def test_long_names_are_shortened():
    assert shown_names(["x" * 250]) == ["x" * 39 + "…"]
    assert drawn(["x" * 250, "y" * 250]).shape == drawn(["x" * 60, "y" * 60]).shape
    assert class_grid(np.zeros((2, 8, 8, 3), np.uint8), ["x" * 250, "y"]).width < 600
    assert isinstance(captioned_sheet([np.zeros((1, 8, 8, 3), np.uint8)], ["$"], 1), Image.Image)


def test_a_table_holds_what_was_written(tmp_path):
    names = ["=1+1", "00", "日本猫", 'a"b', "a\nb"]
    write_rows(tmp_path / "a.json", [{"class": name, "n": np.int64(2), "share": np.float32(0.5)} for name in names])
    assert read_json(tmp_path / "a.json") == [{"class": name, "n": 2, "share": 0.5} for name in names]
    write_rows(tmp_path / "a.json", [{"x": np.nan, "y": float("inf")}])
    assert read_json(tmp_path / "a.json") == [{"x": None, "y": None}]
    write_rows(tmp_path / "a.json", [])
    assert read_json(tmp_path / "a.json") == []


def test_names_in_the_terminal_are_no_markup(tmp_path):
    write_json(tmp_path / "metrics/data.json", {"images": 1, "[/b]": {"x": 1}})
    finding = {
        "finding": "wrong_label",
        "image": "[/x]/1.jpg",
        "split": "train",
        "class": "[red]cat[/red]",
        "other": "=dog",
    }
    write_rows(tmp_path / "metrics/findings.json", [{**finding, "score": 2.5}])
    done = CliRunner().invoke(app, ["data", "--root", str(tmp_path)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "[/x]/1.jpg" in done.output
    assert "[red]cat[/red]" in done.output
    assert " =dog" in done.output


def test_names_in_a_card_are_no_markdown(tmp_path: Path):
    template = tmp_path / "card.jinja"
    template.write_text('{{ names | plain | join(", ") }}')
    assert render(template, names=["a|b", "*c*", "<img src=x>", "_d_", "`e`", "$f$", "g.h 1"]) == (
        r"a\|b, \*c\*, \<img src=x\>, \_d\_, \`e\`, \$f\$, g.h 1"
    )
