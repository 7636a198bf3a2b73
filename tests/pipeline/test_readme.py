"""Every command of the README, typed into the tiny project, and the links of the documents. Sizes that would take minutes are
replaced; commands about training runs get these as targets.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from benchmarks import report
from PIL import Image

from tests.conftest import ROOT
from tests.pipeline.conftest import Project
from tests.remote.s3 import BUCKET, PREFIX, S3Server, documented_policy
from tinycats.data.raw import read_raw

BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines() if line.split("#")[0].strip()]
SMALL = (
    "-S preprocess.min_side_px=16 -S preprocess.test_fraction=0.3 -S classifier.image_size=40 "
    "-S classifier.arch=test_efficientnet -S classifier.pretrained=false -S classifier.source_size=null "
    "-S classifier.crop_size=null -S classifier.epochs=2 -S classifier.batch_size=8 "
    "-S dit.image_size=32 -S dit.width=32 -S dit.depth=1 -S dit.heads=1 -S train.steps=20 -S monitor.train_dit.guard_steps=20 "
    "-S distill.steps=10 -S distill.levels=2 "
    "-S evaluate.features=tf_efficientnet_lite0 -S evaluate.latency_runs=3 -S sampler.steps=2 "
    "-S evaluate.samples_per_class=10 -S quantize.samples_per_class=10 -S quantize.max_accuracy_drop=1.0 "
    "-S quantize.max_fd_increase=100.0 -S quantize.calibration_images=8"
)
DOCUMENTS = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md"))]
RUN = {
    "dvc repro",
    "dvc exp show",
    "dvc metrics diff",
    "dvc plots show",
    "tinycats predict PHOTO.jpg FOLDER",
    "tinycats generate --class Bengal --count 4 --seed 7",
    "tinycats generate --student --steps 2",
}
ELSEWHERE = {
    "git clone REPOSITORY tinycats && cd tinycats": "conftest.py",
    "make setup": "`make test` begins with it",
    "make test": "it is what runs this",
    "tinycats status --watch": "test_status.py",
    "dvc exp run -S train=smoke": "test_groups.py",
    "dvc exp run -S publish.hub.repo_id=user/name": "test_hub.py",
    "tinycats rollback --to TAG --repo user/name": "test_hub.py",
    "dvc exp run -S publish.hub.space_id=user/page": "test_space.py",
    "tinycats register classifier --version 1.2.0 --stage prod": "test_registry.py",
    "dvc artifacts get REPOSITORY classifier --stage prod": "test_registry.py",
    "dvc exp run -S train.steps=3000": "test_repro.py",
    "dvc push": "test_repro.py",
    "dvc pull": "test_repro.py",
}


def readme(start: str) -> str:
    """The README's command that starts like this."""
    found = [command for command in COMMANDS if command.startswith(start)]
    assert len(found) == 1, f"{start!r} is {len(found)} times in the README"
    return found[0]


def shell(project: Project, command: str, check: bool = True) -> str:
    done = project.run("bash", "-c", command, check=check)
    return done.stdout + done.stderr


def test_every_command_is_run_by_a_test() -> None:
    here = Path(__file__).read_text()
    for command in COMMANDS:
        known = command in RUN or command in ELSEWHERE or any(
            command.startswith(start) for start in re.findall(r'readme\("([^"]+)"\)', here)
        )  # fmt: skip
        assert known, f"no test runs the README's {command!r}"


def anchors(text: str) -> set[str]:
    """Of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    text = (ROOT / document).read_text()
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"https?:", link)]
    for link in links:
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link
    assert links


def test_the_benchmark_pages_are_made_of_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the overview, which the next run of the pipeline changes, can be made."""
    for name in ("benchmarks/results", "metrics"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "docs").mkdir()
    for name in ("params.yaml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr(report, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["report.py"])
    report.main()
    made, kept = (
        {path.name: path.read_text() for path in (*root.glob("docs/benchmarks/*.md"), root / "docs/scale.md")}
        for root in (tmp_path, ROOT)
    )
    assert made == kept
    assert (tmp_path / "README.md").read_text() == (ROOT / "README.md").read_text()
    assert "| data | figure | value | file | machine |" in (tmp_path / "docs/benchmarks.md").read_text()


@pytest.mark.parametrize("command", sorted(RUN))
def test_it_runs(project: Project, command: str) -> None:
    assert command in COMMANDS
    picture = next(image for image in read_raw(project.path / "data/raw") if image.class_name == "Bengal")
    (project.path / "FOLDER").mkdir()
    for name in ("PHOTO.jpg", "FOLDER/another.jpg"):
        (project.path / name).write_bytes(picture.content)
    output = shell(project, command)
    if "student" in command:
        assert Image.open(project.path / "generated/Bengal-0-0.png").text["few_step"] == "True"
    elif "generate" in command:
        made = sorted(path.name for path in (project.path / "generated").iterdir())
        assert made == ["Bengal-7-0.png", "Bengal-7-1.png", "Bengal-7-2.png", "Bengal-7-3.png", "grid.png"]
    if "predict" in command:
        assert "PHOTO.jpg" in output
        assert "FOLDER/another.jpg" in output


def test_nothing_has_to_be_trained_first(project: Project) -> None:
    shutil.rmtree(project.path / "models")
    shutil.copytree(ROOT / "pretrained", project.path / "pretrained", dirs_exist_ok=True)
    (project.path / ".venv").mkdir()
    (project.path / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (project.path / "photos").mkdir()
    picture = next(read_raw(project.path / "data/raw"))
    for name in ("cat.jpg", "photos/another.jpg"):
        (project.path / name).write_bytes(picture.content)
    output = shell(project, readme(".venv/bin/tinycats predict"))
    assert "uses pretrained/onnx_int8/classifier.onnx" in output
    assert "photos/another.jpg" in output
    assert "uses pretrained/onnx_int8/student.onnx" in shell(project, readme(".venv/bin/tinycats generate"))
    assert len(list((project.path / "generated").glob("Bengal-0-*.png"))) == 4


def installed_here(project: Project) -> None:
    """`make setup` has nothing to do: the environment of this test is the one that it makes."""
    (project.path / ".venv").mkdir()
    (project.path / ".venv/installed").touch()


def test_make_repro_ends_with_a_summary(project: Project) -> None:
    command = readme("make repro")
    installed_here(project)
    output = shell(project, command)
    assert "generator.class_agreement" in output
    for path in ("metrics/evaluate/samples.png", "metrics/evaluate/confusion.png", "dvc_plots/index.html", "publish"):
        assert path in output
        assert (project.path / path).exists()


@contextmanager
def app_served(project: Project) -> Iterator[str]:
    """The address that `make app` says."""
    command = readme("make app")
    installed_here(project)
    installed = ROOT / "frontend/node_modules"
    if (installed / ".installed").exists():  # by `make test`; else `make app` installs them
        (project.path / "frontend/node_modules").symlink_to(installed)
    server = subprocess.Popen(
        ["bash", "-c", f"exec {command} PORT=0"],
        cwd=project.path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert server.stdout
        yield next(found[1] for line in server.stdout if (found := re.search(r"(http://127\.0\.0\.1:\d+/)", line)))
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def test_make_app_serves_the_page_with_the_published_models(project: Project) -> None:
    with app_served(project) as address:
        with urllib.request.urlopen(f"{address}models/manifest.json") as response:
            assert response.read() == project.read("frontend/public/models/manifest.json")
            assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        with urllib.request.urlopen(f"{address}experiments/experiments.json") as response:
            now = json.load(response)["revisions"][0]["metrics"]["evaluate"]
            assert now["classifier.top1"] == json.loads(project.read("metrics/evaluate.json"))["classifier"]["top1"]
        with urllib.request.urlopen(address) as response:
            assert b"<title>tinycats</title>" in response.read()
        with urllib.request.urlopen(f"{address}versions.json") as response:
            assert json.load(response)[0]["name"] == "run"  # the usual one, whatever came with the repository


def test_make_app_serves_what_is_released_where_nothing_was_published(project: Project) -> None:
    project.run("tinycats", "release")
    shutil.rmtree(project.path / "frontend/public/models")
    with app_served(project) as address:
        with urllib.request.urlopen(f"{address}versions.json") as response:
            title = f"Pretrained: {yaml.safe_load(project.read('params.yaml'))['publish']['data']['title']}"
            assert json.load(response) == [{"name": "pretrained", "folder": "pretrained/", "title": title}]
        with urllib.request.urlopen(f"{address}pretrained/manifest.json") as response:
            assert response.read() == project.read("pretrained/manifest.json")
    shutil.rmtree(project.path / "pretrained")
    refused = project.run("make", "app", check=False)
    assert refused.returncode != 0
    assert "error: no models in frontend/public/models or pretrained; run make repro" in refused.stderr


def test_the_environment_is_activated(project: Project) -> None:
    project.run(sys.executable, "-m", "venv", "--without-pip", ".venv")
    output = shell(project, readme("source .venv/bin/activate") + " && command -v python")
    assert output.strip() == str(project.path / ".venv/bin/python")


def test_a_sweep_of_two_values_runs_in_the_queue(project: Project) -> None:
    queued = shell(project, readme("dvc exp run --queue") + " train_dit")
    assert queued.count("Queued experiment") == 2
    shell(project, readme("dvc queue start"))
    for _ in range(100):
        status = shell(project, "sleep 3; dvc queue status")
        if "Running" not in status and "Queued" not in status:
            break
    assert status.count("Success") == 2, status + shell(
        project, "dvc queue logs $(dvc queue status | awk 'NR==2{print $1}')"
    )
    rates = {
        row["data"]["params"]["params.yaml"]["data"]["train"]["lr"]
        for branch in json.loads(shell(project, "dvc exp show --json"))
        for experiment in branch.get("experiments") or []
        for row in experiment["revs"]
    }
    assert rates == {0.001, 0.002}


def test_weights_and_biases_gets_a_run_for_each_training(project: Project) -> None:
    output = shell(project, readme("dvc exp run -S logging=wandb") + " -S train.steps=60 distill")
    assert "resumes from step 40" in output  # logging changes nothing: only the generator runs, for more steps
    runs = sorted((project.path / ".tinycats/wandb/wandb").glob("offline-run-*"))
    assert [re.sub(r"offline-run-\d+_\d+-(\w+)-.*", r"\1", run.name) for run in runs] == ["train_dit", "distill"]
    for run in runs:
        assert list(run.glob("files/media/images/samples_*.png"))


def test_sharing_through_s3(project: Project, tmp_path: Path) -> None:
    """What one has run and pushed, a fresh clone takes from the bucket, with dvc.lock and without."""
    with S3Server(tmp_path, documented_policy()) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        shell(project, readme("dvc remote add -d storage").replace("BUCKET/PREFIX", f"{BUCKET}/{PREFIX}"))
        shell(project, readme("dvc remote modify storage verify"))
        shell(project, readme("dvc remote modify storage endpointurl").replace("https://HOST", server.url))
        assert f"s3://{BUCKET}/{PREFIX} can be read" in shell(project, readme("tinycats remote"))
        project.commit("Share")
        assert "files pushed" in shell(project, readme("dvc push --run-cache"))
        assert "runs are shared" in shell(project, readme("tinycats share"))
        clone = Project(tmp_path / "clone")
        project.run("git", "clone", "--quiet", str(project.path), str(clone.path))
        assert clone.ran(shell(clone, readme("dvc repro --pull"))) == []
        (clone.path / "dvc.lock").unlink()
        output = shell(clone, readme("dvc repro --pull"))
        assert clone.ran(output) == []
        assert output.count("is cached - skipping run") == len(yaml.safe_load(project.read("dvc.lock"))["stages"])
        assert clone.read("publish/manifest.json") == project.read("publish/manifest.json")


def test_verify_says_what_files_are(project: Project) -> None:
    command = re.search(r"`(tinycats verify [^`]+)`", (ROOT / "README.md").read_text())
    assert command
    output = shell(project, command[1])
    assert [line.split(": ")[0] for line in output.splitlines()] == [
        "models/classifier", *(f"pretrained/onnx_int8/{name}.onnx" for name in ("classifier", "generator", "student"))
    ]  # fmt: skip


def test_photos_of_ones_own(project: Project) -> None:
    """A folder, and a tar with one more class that is merged in."""
    with tarfile.open(project.path / "more_photos.tar", "w") as more:
        for image in read_raw(project.path / "data/raw"):
            if image.class_name in ("Bengal", "Bombay"):
                path = project.path / "photos" / image.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(image.content)
            if image.class_name == "Persian":
                member = tarfile.TarInfo(image.name)
                member.size = len(image.content)
                more.addfile(member, io.BytesIO(image.content))
    extra = re.search(r"`(-S 'data.extra=\[more_photos\]')`", (ROOT / "README.md").read_text())
    assert extra
    command = readme("dvc exp run -S data=image_folder -S data.path=photos -S 'publish")
    output = shell(project, f"{command} {extra[1].replace('more_photos', 'more_photos.tar')} {SMALL}")
    assert "fetched 48 images of 3 classes" in output
    evaluation = json.loads(project.read("metrics/evaluate.json"))
    assert sorted(evaluation["classifier"]["per_class_accuracy"]) == ["Bengal", "Bombay", "Persian"]
    assert "cat_or_other" not in evaluation["classifier"]

    # The detector is made for photos: of drawings it takes next to none for a face
    done = project.run(
        "bash", "-c", readme("dvc exp run -S data=image_folder -S data.path=photos -S preprocess.face"), check=False
    )
    assert done.returncode != 0
    assert re.search(
        r"cat_face found faces in [0-9] of 32 photos, and in no class 30 for training", done.stdout + done.stderr
    )


def test_ones_own_cat(project: Project) -> None:
    """Adapted, generated, merged and published; peft itself is there: `dev` has it."""
    assert readme("pip install 'tinycats[adapt]'").split("'")[1] == "tinycats[adapt]"
    photos = [image for image in read_raw(project.path / "data/raw") if image.class_name == "Bengal"][:6]
    (project.path / "photos_of_mimi").mkdir()
    for image in photos:
        (project.path / "photos_of_mimi" / Path(image.name).name).write_bytes(image.content)
    assert "adapters/mimi: Mimi, from 6 photos" in shell(project, readme("tinycats adapt") + " --steps 5")
    shell(project, readme("tinycats generate --adapter"))
    shell(project, readme("tinycats generate --student --adapter"))
    assert len(list((project.path / "generated").glob("Mimi-0-*.png"))) == 8
    shell(project, readme("tinycats merge"))
    assert json.loads(project.read("adapters/mimi-full/config.json"))["classes"][-1] == "Mimi"
    output = shell(project, readme("dvc exp run -S 'publish.adapters"))
    assert project.ran(output) == ["publish"]
    assert json.loads(project.read("publish/manifest.json"))["adapters"][0]["path"] == "adapters/mimi"
    assert project.read("publish/adapters/mimi/adapter_model.safetensors") == project.read(
        "adapters/mimi/adapter_model.safetensors"
    )


def test_real_cats_without_a_network_are_one_line(project: Project) -> None:
    command = readme("dvc exp run -S data=oxford_pets")
    done = project.run(
        "bash", "-c", command, check=False, XDG_CACHE_HOME=str(project.path / "none"), https_proxy="http://127.0.0.1:9"
    )
    assert done.returncode != 0
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "data.archives" in lines[0]
