"""Oxford-IIIT Pet (Parkhi, Vedaldi, Zisserman, Jawahar, "Cats and Dogs", CVPR 2012): breeds of cats, dogs as `other`.

Reads the two archives as they are published. Those may be local files; else they are downloaded, by the addresses and
md5 sums that torchvision knows.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tinycats.data.raw import RawImage
from tinycats.runtime.errors import UserError
from tinycats.runtime.track import track
from tinycats.sources.archives import open_members
from tinycats.sources.download import check_md5, download

OTHER = "other"
CAT = "1"  # in the column SPECIES of the annotations
SPLITS = {"trainval.txt": "", "test.txt": "test"}


@dataclass(frozen=True)
class Archive:
    path: Path
    md5: str


@dataclass(frozen=True)
class Listed:
    """A line of the annotations: `name` has no suffix, `breed` is as in the name, `split` is "test" or empty.

    `box`: of the head, left, top, width, height in pixels; the data set has them for about half of the images.
    """

    name: str
    breed: str
    is_cat: bool
    split: str
    box: tuple[int, int, int, int] | None


def default_cache_dir() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinycats" / "oxford_pets"


def download_archives(cache_dir: Path) -> tuple[Archive, Archive]:
    """The archives of images and of annotations in `cache_dir`, downloaded if they are missing."""
    from tinycats.runtime.vision import torchvision

    hint = "without network, set data.archives to local copies of images.tar.gz and annotations.tar.gz"
    archives = []
    for url, md5 in torchvision.datasets.OxfordIIITPet._RESOURCES:
        archive = Archive(cache_dir / url.rsplit("/", 1)[1], md5)
        download(url, archive.path, md5, hint)
        archives.append(archive)
    images, annotations = archives
    return images, annotations


def oxford_pets(images: Archive, annotations: Archive, other_max: int, seed: int) -> Iterator[RawImage]:
    """Yield the cats by breed, and at most `other_max` dogs, spread evenly over their breeds, as class `other`.

    The published test split stays the test split; of the rest preprocessing takes a validation split. Raises UserError
    where an archive is missing, has another md5 sum, or lacks what it should hold.
    """
    for archive in (images, annotations):
        check_md5(archive.path, archive.md5)
    listed = _read_annotations(annotations.path)
    dogs = _spread([image for image in listed if not image.is_cat], other_max, seed)
    wanted = {image.name: image for image in listed if image.is_cat} | {image.name: image for image in dogs}
    with open_members(images.path) as members:
        for member in track(members, f"images in {images.path.name}"):
            if member.path.suffix != ".jpg" or (image := wanted.pop(member.path.stem, None)) is None:
                continue
            class_name = image.breed if image.is_cat else OTHER
            yield RawImage(f"{class_name}/{member.path.name}", class_name, image.split, member.read(), image.box)
    if wanted:
        raise UserError(f"{images.path}: lacks {len(wanted)} images of the annotations, such as {min(wanted)}.jpg")


def _read_annotations(path: Path) -> list[Listed]:
    texts: dict[str, str] = {}
    boxes: dict[str, tuple[int, int, int, int]] = {}
    with open_members(path) as members:
        for member in members:
            if member.path.name in SPLITS:
                texts[member.path.name] = member.read().decode()
            elif member.path.parent.name == "xmls" and member.path.suffix == ".xml":
                boxes[member.path.stem] = _head_box(member.read(), f"{path}: {member.path}")
    listed = []
    for file_name, split in SPLITS.items():
        if file_name not in texts:
            raise UserError(f"{path}: has no {file_name}")
        for line in texts[file_name].splitlines():
            try:
                name, _, species, _ = line.split()
            except ValueError:
                raise UserError(f"{path}: {file_name} has {line!r} instead of 'NAME CLASS SPECIES BREED'") from None
            listed.append(Listed(name, name.rsplit("_", 1)[0], species == CAT, split, boxes.get(name)))
    return listed


def _head_box(content: bytes, where: str) -> tuple[int, int, int, int]:
    """Of the first object of an annotation in PASCAL VOC's format, whose borders belong to the box and count from 1."""
    try:
        box = ElementTree.fromstring(content).find("object/bndbox")
        left, top, right, bottom = (int(float(box.findtext(name))) for name in ("xmin", "ymin", "xmax", "ymax"))  # type: ignore[union-attr, arg-type]
    except (ElementTree.ParseError, AttributeError, TypeError, ValueError):
        raise UserError(f"{where}: has no object with a bndbox of xmin, ymin, xmax and ymax") from None
    return left - 1, top - 1, right - left + 1, bottom - top + 1


def _spread(images: Iterable[Listed], count: int, seed: int) -> list[Listed]:
    """At most `count` of them, as evenly over the breeds as their numbers allow; depends on the seed, not the order."""
    by_breed: dict[str, list[Listed]] = defaultdict(list)
    for image in sorted(images, key=lambda image: image.name):
        by_breed[image.breed].append(image)
    for breed, of_breed in by_breed.items():
        random.Random(f"{seed}/{breed}").shuffle(of_breed)
    in_turns = sorted((turn, breed, image.name) for breed in by_breed for turn, image in enumerate(by_breed[breed]))
    chosen = {name for _, _, name in in_turns[:count]}
    return [image for of_breed in by_breed.values() for image in of_breed if image.name in chosen]
