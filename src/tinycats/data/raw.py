"""The raw data set: one deterministic tar of the original image files, and an index.

`images.tar` is uncompressed, its members are named `<class>/<file>`. `index.csv` has the columns name, label (the class
name), split (train, val, test, or empty where preprocessing decides), box (of the head, where the data says where that is:
left, top, width and height in pixels of the upright image) and origin (where the file lay, if that is not its name). Both are
sorted by name.
"""

from __future__ import annotations

import csv
import tarfile
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tinycats.runtime.errors import UserError
from tinycats.runtime.files import atomic_directory

SPLITS = ("train", "val", "test")
NO_TEXT = ("Cc", "Cs", "Zl", "Zp")  # control characters, bytes that are no UTF-8, ends of lines: not in an index


@dataclass(frozen=True)
class RawImage:
    """One image as it came: `name` is `<class>/<file>`, `split` one of SPLITS or empty, `content` its bytes.

    `box`: of the head, if that is known: left, top, width, height in pixels. `origin`: where the file lay; empty: at `name`.
    """

    name: str
    class_name: str
    split: str
    content: bytes
    box: tuple[int, int, int, int] | None = None
    origin: str = ""

    @property
    def shown(self) -> str:
        """The name by which people know it."""
        return self.origin or self.name


def has_text_only(name: str) -> bool:
    """Whether there are neither control characters nor bytes that are no UTF-8 (as surrogates) in it."""
    return not any(unicodedata.category(character) in NO_TEXT for character in name)


def write_raw(directory: Path, images: Iterable[RawImage]) -> dict[str, int]:
    """Write the images, in whatever order they come, as `directory`; it appears whole or not at all.

    Holds one image at a time in memory. Returns the number of images of each class. Raises UserError where a name
    comes twice or is not in the folder of its class.
    """
    # class name, split, box, origin, where in the spool, bytes
    index: dict[str, tuple[str, str, str, str, int, int]] = {}
    with atomic_directory(directory) as temporary:
        spool_path = temporary / "spool"
        with spool_path.open("w+b") as spool:
            for image in images:
                if not image.name.startswith(f"{image.class_name}/") or image.split not in ("", *SPLITS):
                    raise UserError(f"{image.name}: does not fit class {image.class_name!r} and split {image.split!r}")
                if not has_text_only(image.name):
                    raise UserError(f"{image.name!r}: has unprintable characters in its name; rename it")
                if image.name in index:
                    raise UserError(f"{image.name}: there are two images of this name")
                box = " ".join(map(str, image.box or ()))
                origin = "" if image.origin == image.name else image.origin
                index[image.name] = image.class_name, image.split, box, origin, spool.tell(), len(image.content)
                spool.write(image.content)
            with tarfile.open(temporary / "images.tar", "w", format=tarfile.PAX_FORMAT) as tar:
                for name in sorted(index):
                    *_, position, size = index[name]
                    info = tarfile.TarInfo(name)  # mtime, uid and gid are 0 and mode 0644 by default
                    info.size = size
                    spool.seek(position)
                    tar.addfile(info, spool)
                    tar.members.clear()  # type: ignore[attr-defined]  # else they pile up in memory
        spool_path.unlink()
        with (temporary / "index.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["name", "label", "split", "box", "origin"])
            writer.writerows([name, *index[name][:4]] for name in sorted(index))
    counts = Counter(class_name for class_name, *_ in index.values())
    return {class_name: counts[class_name] for class_name in sorted(counts)}


def read_raw(directory: Path, names: Collection[str] | None = None) -> Iterator[RawImage]:
    """Yield the images, all or those of these names, in the order of their names.

    Raises UserError where the tar and the index do not agree.
    """
    try:
        with (
            (directory / "index.csv").open(encoding="utf-8", newline="") as index,
            tarfile.open(directory / "images.tar", "r:") as tar,
        ):
            for row in csv.DictReader(index):  # one at a time: as a list, a million of them take a gigabyte
                member = tar.next()
                if member is None or member.name != row["name"]:
                    raise UserError(f"{directory}: images.tar and index.csv differ at {row['name']!r}; fetch it again")
                tar.members.clear()  # type: ignore[attr-defined]  # as above
                if (names is None or member.name in names) and (file := tar.extractfile(member)):
                    yield RawImage(
                        member.name, row["label"], row["split"], file.read(), _box(row["box"]), row["origin"]
                    )
            if tar.next() is not None:
                raise UserError(f"{directory}: images.tar has more images than index.csv; fetch it again")
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: not found; run the fetch stage first") from None
    # a ValueError of text that is no UTF-8, or of a box
    except (tarfile.TarError, KeyError, ValueError, csv.Error) as error:
        raise UserError(f"{directory}: is damaged ({error}); fetch it again") from None


def count_raw(directory: Path) -> int:
    """How many images there are. Raises UserError as read_raw does."""
    try:
        with (directory / "index.csv").open(encoding="utf-8", newline="") as file:
            return sum(1 for _ in csv.DictReader(file))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: not found; run the fetch stage first") from None


def _box(text: str) -> tuple[int, int, int, int] | None:
    if not text:
        return None
    left, top, width, height = map(int, text.split())
    return left, top, width, height
