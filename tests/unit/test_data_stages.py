"""The stages fetch and preprocess, run as DVC runs them, on images of one's own."""

import csv
import json
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tinycats.data.processed import load_classes, load_split

ROOT = Path(__file__).resolve().parents[2]


WITHOUT_A_LOOK = {"features": None, "near_duplicates": "report"}  # which takes a network


def write_photos(directory: Path, counts: dict[str, int], seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for class_name, count in counts.items():
        (directory / class_name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (48, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(directory / class_name / f"{i}.png")


def write_params(directory: Path, other_class: str | None = None, **data: object) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"] = {"extra": [], "watch": "w", **data}
    params["preprocess"] |= {"min_side_px": 32, "other_class": other_class, **WITHOUT_A_LOOK}
    params["classifier"]["image_size"] = 40
    params["dit"].update(image_size=16, patch_size=4)
    (directory / "params.yaml").write_text(yaml.safe_dump(params))


def run(stage: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """What it says on stderr is without progress, of which a slow machine gets a line."""
    command = [sys.executable, ROOT / "stages" / f"{stage}.py"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    done.stderr = "".join(line for line in done.stderr.splitlines(True) if not line.startswith(f"{stage}: "))
    return done


def test_own_photos_with_extra_ones_become_processed_data(tmp_path):
    write_photos(tmp_path / "photos", {"cat": 10, "dog": 12})
    write_photos(tmp_path / "more", {"cat": 5, "bird": 10}, seed=1)
    with tarfile.open(tmp_path / "more.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "more", "more")
    write_params(tmp_path, source="image_folder", path="photos", extra=["more.tar.gz"], other_class="dog")

    fetched = run("fetch", tmp_path)
    assert (fetched.returncode, fetched.stderr) == (0, "")
    assert json.loads((tmp_path / "metrics/fetch.json").read_text()) == {
        "total": 37,
        "classes": {"bird": 10, "cat": 15, "dog": 12},
        "sources": {"photos": 22, "more.tar.gz": 15},
        "splits": {"unsplit": 37},
        "left_out": {},
        "left_out_files": [],
    }
    preprocessed = run("preprocess", tmp_path)
    assert (preprocessed.returncode, preprocessed.stderr) == (0, "")
    metrics = json.loads((tmp_path / "metrics/preprocess.json").read_text())
    assert (metrics["kept"], metrics["classes"]) == (37, {"bird": 10, "cat": 15, "dog": 12})
    assert load_classes(tmp_path / "data/processed/photo") == (["bird", "cat", "dog"], "dog")
    assert load_split(tmp_path / "data/processed/photo", "train", 40).images.shape[1:] == (40, 40, 3)
    assert load_split(tmp_path / "data/processed/photo", "test", 16).images.shape[1:] == (16, 16, 3)
    timing = json.loads((tmp_path / "metrics/timing/preprocess.json").read_text())
    assert set(timing) == {"seconds", "images_per_second"}
    assert "seconds" in json.loads((tmp_path / "metrics/timing/fetch.json").read_text())
    assert "seconds" not in (tmp_path / "metrics/preprocess.json").read_text()


def test_synthetic_data_is_fetched_whole(tmp_path):
    write_params(tmp_path, source="synthetic", images_per_class=4, size_px=32, other_class="other")
    assert run("fetch", tmp_path).stderr == ""
    counts = json.loads((tmp_path / "metrics/fetch.json").read_text())["classes"]
    assert set(counts.values()) == {4}
    assert "other" in counts
    assert run("preprocess", tmp_path).stderr == ""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"source": "image_folder", "path": "nowhere"}, "error: nowhere: not found"),
        ({"source": "image_folder", "path": "one"}, "error: one: only one class, 'cat'"),
        ({"source": "image_folder", "path": "zero.zip"}, "error: zero.zip: is an empty file"),
        (
            {
                "source": "oxford_pets",
                "other_max": 3,
                "archives": {
                    "images": "zero.zip",
                    "images_md5": "0" * 32,
                    "annotations": "zero.zip",
                    "annotations_md5": "0" * 32,
                },
            },
            f"error: zero.zip: wrong md5 sum, expected {'0' * 32}, got d41d8cd98f00b204e9800998ecf8427e",
        ),
    ],
)
def test_wrong_data_is_one_line_and_leaves_nothing(tmp_path, data, message):
    write_photos(tmp_path / "one", {"cat": 3})
    (tmp_path / "zero.zip").touch()
    write_params(tmp_path, **data)
    done = run("fetch", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "metrics").exists()
    assert not list(tmp_path.glob("data/*"))


def test_preprocess_before_fetch_says_so(tmp_path):
    write_params(tmp_path, source="image_folder", path="photos")
    done = run("preprocess", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: data/raw/index.csv: not found; run the fetch stage first\n"


SHARED = ROOT.parent / "shared" / "data"
PETS_MD5 = {"images": "5a76d3f68af842ec013a4b8c051b01cb", "annotations": "a52e06dcd60f13bd3c295fb0499b5e7f"}


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the real photos are not at hand ({SHARED})")
def test_real_pets(tmp_path):
    archives: dict[str, str] = {}
    for name, md5 in PETS_MD5.items():
        archives |= {name: str(SHARED / "oxford_pets" / f"{name}.tar.gz"), f"{name}_md5": md5}
    write_params(tmp_path, source="oxford_pets", other_max=100, archives=archives, other_class="other")
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params["preprocess"] |= yaml.safe_load((ROOT / "conf/data/oxford_pets.yaml").read_text())["preprocess"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    assert run("fetch", tmp_path).stderr == ""
    assert run("preprocess", tmp_path).stderr == ""

    fetched = json.loads((tmp_path / "metrics/fetch.json").read_text())
    assert (fetched["total"], fetched["classes"]["other"], len(fetched["classes"])) == (2020, 100, 13)
    metrics = json.loads((tmp_path / "metrics/preprocess.json").read_text())
    assert metrics["quarantined"] == {
        "undecodable": 0, "truncated": 0, "too_small": 4, "decompression_bomb": 0, "duplicate": 14,
        "near_duplicate": 0,
    }  # fmt: skip
    by_breed = Counter((item["name"].split("/")[0], item["reason"]) for item in metrics["quarantined_files"])
    assert by_breed == {
        ("Abyssinian", "too_small"): 1,
        ("Bombay", "too_small"): 3,
        ("Bombay", "duplicate"): 10,
        ("Egyptian_Mau", "duplicate"): 4,
    }
    with (tmp_path / "data/processed/photo/index.csv").open() as file:
        kept = {row["name"] for row in csv.DictReader(file)}
    mislabelled = [f"Egyptian_Mau_{i}" for i in (14, 139, 145, 156, 167, 177, 186, 191)]  # GIF and PNG, named .jpg
    assert {f"Egyptian_Mau/{name}.jpg" for name in mislabelled} <= kept
    assert {"Abyssinian/Abyssinian_5.jpg", "Abyssinian/Abyssinian_34.jpg", "Egyptian_Mau/Egyptian_Mau_129.jpg"} <= kept


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the real photos are not at hand ({SHARED})")
def test_real_jersey_numbers(tmp_path):
    write_params(tmp_path, source="image_folder", path=str(SHARED / "jersey_numbers.tar.gz"))
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params["preprocess"] |= yaml.safe_load((ROOT / "conf/data/jersey_numbers.yaml").read_text())["preprocess"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    assert run("fetch", tmp_path).stderr == ""
    assert run("preprocess", tmp_path).stderr == ""
    fetched = json.loads((tmp_path / "metrics/fetch.json").read_text())
    assert (fetched["total"], fetched["splits"]) == (9625, {"test": 376, "train": 8855, "val": 394})
    assert len(fetched["classes"]) == 42
    assert fetched["classes"]["00"] == 72
    assert fetched["classes"]["0"] == 648
    metrics = json.loads((tmp_path / "metrics/preprocess.json").read_text())
    assert metrics["quarantined"]["duplicate"] == metrics["read"] - metrics["kept"] == 73
