"""benchmarks/scale.py and the page that is made of its results."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import scale
import scale_page
from measure import measured


def cost(cpu_seconds: float, memory_mb: float) -> dict[str, float]:
    return {"seconds": 2 * cpu_seconds, "cpu_seconds": cpu_seconds, "peak_memory_mb": memory_mb, "load": 3.0}


def result(*costs: tuple[int, dict[str, float]], overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    sizes = {
        scale.label(count, [*overrides]): {
            "count": count,
            "stages": dict.fromkeys((*scale.STAGES, *scale.NOTHING_TO_DO), each),
            "overrides": [*overrides],
        }
        for count, each in costs
    }
    return {"machine": {"cores": 2, "memory_gb": 24}, "sizes": sizes, "folders": {}, "settings": []}


def lines(text: str, beginning: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"| {beginning} |")]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("scale") / "photos.tar"
    patch = pytest.MonkeyPatch()
    patch.setattr(scale, "DRAWINGS", 1)
    scale.draw(40, path)
    patch.undo()
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def test_the_drawn_photos_are_of_unequal_classes_and_no_two_are_alike(photos: dict[str, bytes]) -> None:
    sizes = scale.class_sizes(40)
    assert sum(sizes) == len(photos) == 40
    assert sizes[0] > 2 * sizes[2] > 0
    counts = [sum(name.startswith(f"{class_name}/") for name in photos) for class_name in scale.CLASSES]
    assert counts == sizes
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(content)).resize((16, 16))) for content in photos.values()])
    assert pixels.shape == (40, 16, 16, 3)
    flat = pixels.reshape(40, -1) / 255
    distances = np.sqrt(np.square(flat[:, None] - flat[None]).mean(axis=2)) + np.eye(40)
    assert distances.min() > 0.05  # although all of a class are made of one drawing; copies differ by 0.02 at most


def test_a_command_is_measured_with_its_children(tmp_path: Path) -> None:
    busy = "x = bytearray(80 << 20); x[::4096] = bytes(len(x[::4096])); import time; t = time.process_time()\n"
    busy += "while time.process_time() < t + 0.8: pass"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    found = measured([sys.executable, "-c", script], tmp_path, {})
    assert 0.8 <= found["cpu_seconds"] <= 2
    assert found["seconds"] >= 0.8
    assert found["peak_memory_mb"] >= 80
    with pytest.raises(subprocess.CalledProcessError):
        measured([sys.executable, "-c", "raise SystemExit(3)"], tmp_path, {})


def test_what_holds_and_what_does_not_is_said() -> None:
    held = scale_page.verdicts(result((3_000, cost(10, 500)), (30_000, cost(109, 900))))
    assert lines(held, "fetch") == [
        "| fetch | 10.9 times for 10 times the data: held | 400 MB more at 30,000 than at 3,000: held |"
    ]
    broken = scale_page.verdicts(result((3_000, cost(10, 500)), (30_000, cost(112, 2100))))
    assert lines(broken, "fetch")[0].count("**not held**") == 2
    assert "112.0 s of CPU at 30,000: **not held**; open at 300,000 |" in lines(broken, "dvc status")[0]
    assert "4.0 s of CPU at 300,000: held |" in scale_page.verdicts(result((300_000, cost(4, 60))))


def test_memory_is_compared_with_the_smallest_size_and_time_between_the_largest() -> None:
    three = scale_page.verdicts(result((300_000, cost(1100, 2300)), (3_000, cost(50, 500)), (30_000, cost(100, 1000))))
    assert "11.0 times for 10 times the data: held | 1800 MB more at 300,000 than at 3,000: **not held**" in three


def test_hours_and_dollars_follow_from_the_rates() -> None:
    page = scale_page.imagined(result((3_000, cost(46, 500)), (30_000, cost(100, 900))))  # 2 ms a photo, 40 s fixed
    hours = (40 + 0.002 * 1_000_000) / 3600
    dollars = hours * scale_page.USD_PER_CORE_HOUR
    assert f"| fetch | 2.00 ms | {hours / 2:.1f} h; {hours:.1f} core hours, ${dollars:.2f} |" in page
    assert "| evaluate | 0.00 ms | 0.0 h; 0.0 core hours, $0.00 | 0.0 h; 0.0 core hours, $0.00 |" in page  # 100 s


def test_nothing_is_made_up_of_one_size_or_of_other_parameters() -> None:
    one = result((3_000, cost(46, 500)))
    other = result((3_000, cost(46, 500)), (30_000, cost(100, 900)), overrides=("preprocess.features=null",))
    for measurements in (one, other):
        assert "unknown | unknown | unknown" in lines(scale_page.imagined(measurements), "fetch")[0]
        assert lines(scale_page.verdicts(measurements), "fetch") == ["| fetch | open | open |"]
        assert scale_page.memory(measurements) == "How memory grows is unknown until two sizes were measured."
    assert "30,000 photos, preprocess.features=null" in scale_page.overview(other)
    assert "| fetch, preprocess.features=null | 2.2 times for 10 times the data: held |" in scale_page.verdicts(other)
    assert "- 300,000 photos with these settings: every stage" in scale_page.scale_page(one, "a machine")
    assert "- 3,000 photos" not in scale_page.scale_page(one, "a machine")


def test_the_room_for_photos_is_that_of_the_stage_that_grows_most() -> None:
    measurements = result((3_000, cost(1, 500)), (30_000, cost(2, 500)))
    assert scale_page.memory(measurements) == "Memory did not grow from one size to the next."
    for count, memory_mb in (("3000", 500), ("30000", 770)):  # 0.01 MB a photo
        measurements["sizes"][count]["stages"]["preprocess"] = cost(1, memory_mb)
    room = 30_000 + (0.8 * 24 * 1024 - 770) / 0.01
    assert (
        f"in preprocess: by 9.8 GB for a million photos. In 24 GB, a fifth of it left free, there is room for about "
        f"{room / 1e6:.1f} million." in scale_page.memory(measurements)
    )


def test_folders_are_extrapolated_by_the_file() -> None:
    measurements = result() | {"folders": {"300": cost(1, 60), "30300": cost(2, 60)}}
    assert (
        "1.0 s of CPU for a stage that watches 300 files, 2.0 s for 30,300, by which it is about 11 s for 300,000"
        in (scale_page.folders(measurements))
    )
