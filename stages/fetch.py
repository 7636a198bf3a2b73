"""Stage fetch: get the data of `data.source` and `data.extra` into data/raw."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from tinycats.data.raw import RawImage
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.files import write_json
from tinycats.runtime.params import ImageFolderData, OxfordPetsData, Params, SyntheticData, load_params
from tinycats.runtime.track import naming
from tinycats.sources.image_folder import LeftOut, count_reasons, image_folder
from tinycats.sources.merge import write_merged
from tinycats.sources.names import alike_but_for_case, escaped
from tinycats.sources.oxford_pets import Archive, default_cache_dir, download_archives, oxford_pets
from tinycats.sources.synthetic import synthetic_images


class Source(NamedTuple):
    """What the counts call a source, its images, and the files that gave none, complete when the images are read."""

    title: str
    images: Iterable[RawImage]
    left_out: list[LeftOut]


def source(params: Params) -> Source:
    match params.data:
        case SyntheticData() as data:
            return Source(data.source, synthetic_images(data.images_per_class, params.seed, data.size_px), [])
        case ImageFolderData() as data:
            return folder(data.path)
        case OxfordPetsData() as data:
            local = data.archives
            if local.images is None or local.annotations is None:
                images, annotations = download_archives(default_cache_dir())
            else:
                images = Archive(Path(local.images).expanduser(), str(local.images_md5))
                annotations = Archive(Path(local.annotations).expanduser(), str(local.annotations_md5))
            return Source(data.source, oxford_pets(images, annotations, data.other_max, params.seed), [])


def folder(path: str, taken: Collection[str] = ()) -> Source:
    """`taken`: titles that others have."""
    left_out: list[LeftOut] = []
    name = escaped(Path(path).resolve().name)
    titles = (name, *(f"{name} ({number})" for number in range(2, len(taken) + 2)))
    title = next(title for title in titles if title not in taken)
    return Source(title, image_folder(Path(path), left_out), left_out)


def main() -> None:
    started = time.perf_counter()
    params = load_params(Path("params.yaml"))
    with naming("fetch"):
        sources = [source(params)]
        for path in params.data.extra:
            sources.append(folder(path, {source.title for source in sources}))
        counts = write_merged(Path("data/raw"), [(source.title, source.images) for source in sources])
    left_out = [(source.title, file) for source in sources for file in source.left_out]
    reasons = count_reasons(file for _, file in left_out)
    listed = [{"source": title, "name": file.name, "reason": file.reason} for title, file in left_out]
    write_json(Path("metrics/fetch.json"), {**counts, "left_out": reasons, "left_out_files": listed})
    write_json(Path("metrics/timing/fetch.json"), {"seconds": time.perf_counter() - started})
    print(f"fetched {counts['total']} images of {len(counts['classes'])} classes")
    if reasons:
        print(f"left {len(listed)} other files out (metrics/fetch.json says which and why):")
    for reason, count in reasons.items():
        print(f"  {count} × {reason}")
    for name, other in alike_but_for_case(counts["classes"]):
        print(f"{name!r} and {other!r} are two classes; if they are one, give their folders the same name")


if __name__ == "__main__":
    with one_line_errors():
        main()
