"""Stage fetch: get the data of `data.source` and `data.extra` into data/raw."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from tinycats.data.raw import RawImage
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.files import write_json
from tinycats.runtime.params import ImageFolderData, OxfordPetsData, Params, SyntheticData, load_params
from tinycats.sources.image_folder import image_folder
from tinycats.sources.merge import write_merged
from tinycats.sources.oxford_pets import Archive, default_cache_dir, download_archives, oxford_pets
from tinycats.sources.synthetic import synthetic_images


def source(params: Params) -> tuple[str, Iterable[RawImage]]:
    """What the counts call the source, and its images."""
    match params.data:
        case SyntheticData() as data:
            return data.source, synthetic_images(data.images_per_class, params.seed, data.size_px)
        case ImageFolderData() as data:
            return folder(data.path)
        case OxfordPetsData() as data:
            local = data.archives
            if local.images is None or local.annotations is None:
                images, annotations = download_archives(default_cache_dir())
            else:
                images = Archive(Path(local.images).expanduser(), str(local.images_md5))
                annotations = Archive(Path(local.annotations).expanduser(), str(local.annotations_md5))
            return data.source, oxford_pets(images, annotations, data.other_max, params.seed)


def folder(path: str) -> tuple[str, Iterable[RawImage]]:
    return Path(path).name, image_folder(Path(path).expanduser())


def main() -> None:
    started = time.perf_counter()
    params = load_params(Path("params.yaml"))
    counts = write_merged(Path("data/raw"), [source(params), *map(folder, params.data.extra)])
    write_json(Path("metrics/fetch.json"), counts)
    write_json(Path("metrics/timing/fetch.json"), {"seconds": time.perf_counter() - started})
    print(f"fetched {counts['total']} images of {len(counts['classes'])} classes")


if __name__ == "__main__":
    with one_line_errors():
        main()
