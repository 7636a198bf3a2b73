"""Which images are for training, validation and testing."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

from tinycats.runtime.errors import UserError
from tinycats.runtime.words import some


def split_images(
    images: Iterable[tuple[str, str, str]],
    classes: Iterable[str],
    val_fraction: float,
    test_fraction: float,
    seed: int,
    left_out: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Give each of the (name, class name, given split or empty) images a split: train, val or test.

    Class by class, so that all splits have the same mixture. Given splits are kept. A split that a class has none of
    is drawn from its images without a split; if it has a training split only, from that. The fractions are of what is
    drawn from. Depends on the names and the seed, not on the order. Raises UserError where one of `classes` has too
    few images for at least one in each split; `left_out` says for a class what was left out of it.
    """
    by_class: dict[str, dict[str, list[str]]] = {name: defaultdict(list) for name in sorted(classes)}
    for name, class_name, given in images:
        by_class[class_name][given].append(name)

    splits: dict[str, str] = {}
    too_few: list[str] = []
    for class_name, given_names in by_class.items():
        drawn = [split for split in ("test", "val") if not given_names[split]]
        pool = given_names.pop("") if given_names[""] else []
        if drawn:
            pool += given_names.pop("train", [])
        needed = len(drawn) + (not given_names["train"])
        if len(pool) < needed:
            lost = f" ({left_out[class_name]})" if left_out and class_name in left_out else ""
            too_few.append(f"{class_name!r} {_lacks(len(pool), needed, given_names)}{lost}")
            continue
        pool.sort(key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
        total = len(pool)
        fractions = {"val": val_fraction, "test": test_fraction}
        for position, split in enumerate(drawn):
            reserved = len(drawn) - position  # one for each split to come, and one for training
            count = min(max(1, round(fractions[split] * total)), len(pool) - reserved)
            given_names[split], pool = pool[:count], pool[count:]
        given_names["train"] += pool
        splits.update({name: split for split, names in given_names.items() for name in names})
    if too_few:
        raise UserError(f"too few good images for train, val and test: {some(too_few, 5)}; add some or drop the class")
    return splits


def _lacks(pool: int, needed: int, given_names: Mapping[str, list[str]]) -> str:
    """What a class has and needs, where too few images are without a given split, or in train for the other splits."""
    given = [f"{len(names)} in {split}" for split, names in given_names.items() if names]
    if not given:
        return f"has {pool} and needs {needed}"
    total = sum(map(len, given_names.values())) + pool
    if not pool:
        where = f"all of them in {next(iter(given)).split()[-1]}" if len(given) == 1 else ", ".join(given)
        return f"has {total}, {where}, and needs {needed} in train"
    return f"has {total} ({', '.join(given)}, {pool} else) and needs {needed} that are in no other split"
