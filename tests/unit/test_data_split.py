"""The split: stratified, deterministic, and true to what the data says itself."""

import random
from collections import Counter

import pytest

from tinycats.preparing.split import split_images
from tinycats.runtime.errors import UserError


def rows(class_name: str, count: int, given: str = "") -> list[tuple[str, str, str]]:
    return [(f"{class_name}/{given}{i}.jpg", class_name, given) for i in range(count)]


def split(images: list[tuple[str, str, str]], seed: int = 0) -> dict[str, str]:
    return split_images(images, {row[1] for row in images}, val_fraction=0.1, test_fraction=0.15, seed=seed)


def count(images: list[tuple[str, str, str]]) -> dict[str, Counter[str]]:
    splits = split(images)
    assert splits.keys() == {row[0] for row in images}
    classes = {class_name for _, class_name, _ in images}
    return {name: Counter(splits[row[0]] for row in images if row[1] == name) for name in classes}


def test_every_class_is_split_alike():
    assert count(rows("a", 100) + rows("b", 40) + rows("c", 3)) == {
        "a": {"train": 75, "val": 10, "test": 15},
        "b": {"train": 30, "val": 4, "test": 6},
        "c": {"train": 1, "val": 1, "test": 1},
    }


def test_depends_on_the_seed_and_not_on_the_order():
    images = rows("a", 50) + rows("b", 50)
    shuffled = random.Random(0).sample(images, len(images))
    assert split(images) == split(shuffled)
    assert split(images) != split(images, seed=1)


def test_a_further_image_moves_only_a_few():
    before, after = split(rows("a", 100)), split(rows("a", 101))
    assert sum(before[name] != after[name] for name in before) <= 2


def test_given_splits_are_kept():
    given = rows("a", 5, "train") + rows("a", 2, "val") + rows("a", 1, "test")
    assert split(given) == {row[0]: row[2] for row in given}


def test_with_a_given_test_split_only_val_is_drawn():
    images = rows("a", 40) + rows("a", 10, "test")
    splits = split(images)
    assert all(splits[name] == "test" for name, _, given in images if given)
    assert Counter(splits.values()) == {"train": 36, "val": 4, "test": 10}


def test_a_class_without_given_splits_beside_one_with_them():
    images = rows("a", 20) + rows("a", 10, "test") + rows("new", 20)
    assert count(images) == {"a": {"train": 18, "val": 2, "test": 10}, "new": {"train": 15, "val": 2, "test": 3}}


def test_a_training_folder_gives_the_validation_split_that_is_missing():
    assert count(rows("a", 20, "train") + rows("a", 5, "test")) == {"a": {"train": 18, "val": 2, "test": 5}}


def test_large_fractions_leave_something_to_train_on():
    for n in range(3, 30):
        splits = split_images(rows("a", n), {"a"}, val_fraction=0.44, test_fraction=0.45, seed=0)
        assert set(splits.values()) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (rows("a", 9) + rows("b", 2), "'b' has 2 and needs 3"),
        (rows("a", 9) + rows("b", 1) + rows("b", 5, "test"), r"'b' has 6 \(5 in test, 1 else\) and needs 2 that"),
        (rows("a", 9) + rows("b", 3, "val") + rows("b", 5, "test"), "'b' has 8, 3 in val, 5 in test, and needs 1 in"),
        (rows("a", 9) + rows("b", 10, "test"), "'b' has 10, all of them in test, and needs 2 in train"),
        (rows("a", 9) + rows("b", 10, "val"), "'b' has 10, all of them in val, and needs 2 in train"),
    ],
)
def test_too_few_images_name_the_class_and_the_number_needed(images, message):
    with pytest.raises(UserError, match=message):
        split(images)


def test_a_class_that_lost_all_its_images_is_named():
    with pytest.raises(UserError, match="'gone' has 0 and needs 3"):
        split_images(rows("a", 9), {"a", "gone"}, 0.1, 0.15, 0)
