"""The view `face` of the processed data, its counts, and sheets to check it by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tinycats.data.processed import write_processed
from tinycats.data.raw import SPLITS
from tinycats.figures.sheets import captioned_sheet, class_grid, save_png
from tinycats.preparing.faces import Faces, find_faces
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import PreprocessParams

SHOWN = 8  # of each class
DOUBTFUL = 24  # of those taken and of those refused
COLUMNS = 8


def write_face_view(
    directory: Path,
    raw_dir: Path,
    images: Sequence[tuple[str, str, str]],
    settings: PreprocessParams,
    size: int,
    report_dir: Path | None,
) -> dict[str, Any]:
    """Write the faces in `images` (name, class name, split) into an existing directory (see tinycats.data.processed).

    Its classes are those with settings.min_faces in the training split or more; photos of settings.other_class are not searched.
    Sheets go to `report_dir`/data: faces.png, and doubtful.png, the least sure of the faces and the surest that were refused.
    Returns {"searched", "found", "refused", "too_few": {class: count}, "classes" and "splits": {name: count}}.
    Raises UserError where no class has enough faces, or a split has none.
    """
    assert settings.face is not None
    of_cats = {name: (class_name, split) for name, class_name, split in images if class_name != settings.other_class}
    spool = directory / "spool"
    found = find_faces(raw_dir, of_cats, settings.face, size, settings.features, settings.max_pixels, spool)
    if report_dir is not None and len(found.names):
        save_png(_doubtful(found), report_dir / "data/doubtful.png")
    good = [row for row in range(len(found.names)) if found.good[row]]
    in_training = Counter(of_cats[found.names[row]][0] for row in good if of_cats[found.names[row]][1] == "train")
    names = sorted({class_name for class_name, _ in of_cats.values()})
    classes = [name for name in names if in_training[name] >= settings.min_faces]
    kept = [row for row in good if of_cats[found.names[row]][0] in classes]
    in_split = Counter(of_cats[found.names[row]][1] for row in kept)
    counts = f"{raw_dir}: {settings.face} found faces in {len(good)} of {len(of_cats)} photos"
    advice = "use whole photos (-S dit.view=photo -S preprocess.face=null), or photos that show faces from the front"
    if not classes:
        raise UserError(
            f"{counts}, and in no class {settings.min_faces} for training (most: {max(in_training.values(), default=0)}), as "
            f"preprocess.min_faces asks; {advice}"
        )
    if missing := [split for split in SPLITS if not in_split[split]]:
        raise UserError(f"{counts}, but none for the split {missing[0]}; {advice}")
    labels = {name: label for label, name in enumerate(classes)}
    entries = [
        (found.names[row], labels[of_cats[found.names[row]][0]], of_cats[found.names[row]][1], int(found.rows[row]))
        for row in kept
    ]
    write_processed(directory, {size: found.pixels}, entries, classes, None, "crop")
    spool.unlink()
    if report_dir is not None:
        save_png(_of_each_class(found, entries, classes), report_dir / "data/faces.png")
    in_class = Counter(classes[label] for _, label, _, _ in entries)
    return {
        "searched": len(of_cats),
        "found": len(kept),
        "refused": len(found.names) - len(good),
        "too_few": {name: in_training[name] for name in names if name not in classes},
        "classes": {name: in_class[name] for name in classes},
        "splits": {split: in_split[split] for split in SPLITS},
    }


def _of_each_class(found: Faces, entries: Sequence[tuple[str, int, str, int]], classes: Sequence[str]) -> Image.Image:
    rows: list[int] = []
    for number in range(len(classes)):
        of_class = [row for _, label, _, row in entries if label == number]
        rows += [of_class[i] for i in np.linspace(0, len(of_class) - 1, SHOWN).astype(int)]
    return class_grid(found.pixels[rows], classes)


def _doubtful(found: Faces) -> Image.Image:
    order = np.argsort(found.scores, kind="stable")
    taken, refused = order[found.good[order]][:DOUBTFUL], order[~found.good[order]][::-1][:DOUBTFUL]
    rows = [*taken, *refused]
    captions = [f"{'taken' if found.good[row] else 'refused'} {found.scores[row]:.2f}" for row in rows]
    return captioned_sheet([found.pixels[found.rows[row]][None] for row in rows], captions, COLUMNS)
