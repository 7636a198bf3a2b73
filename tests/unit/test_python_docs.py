"""Every example of docs/python.md, with the models in pretrained/."""

from __future__ import annotations

import doctest

import pytest

import tinycats
from tests.conftest import ROOT

DOCUMENT = ROOT / "docs/python.md"


def test_every_example_says_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    done = doctest.testfile(str(DOCUMENT), module_relative=False, encoding="utf-8")
    assert done.attempted >= 25
    assert not done.failed


def test_what_is_offered_is_described() -> None:
    text = DOCUMENT.read_text()
    for name in tinycats.__all__:
        assert f"`{name}" in text, name
        assert getattr(tinycats, name).__doc__
    assert set(tinycats._MODULES) == set(tinycats.__all__)
    with pytest.raises(AttributeError, match="no attribute 'classifer'"):
        _ = tinycats.classifer
