from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tinycats.cli import app
from tinycats.experiments.better import better
from tinycats.runtime.files import write_rows


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path, message: str) -> str:
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", message)
    return git(root, "rev-parse", "HEAD")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_picture(path: Path, colour: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), colour).save(path)


def export(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["experiments", "--root", str(root), "--out", str(root / "out"), *arguments])


def read(root: Path, *arguments: str) -> list[dict[str, Any]]:
    result = export(root, *arguments)
    assert result.exit_code == 0, result.output
    revisions: list[dict[str, Any]] = json.loads((root / "out/experiments.json").read_text())["revisions"]
    return revisions


def error_line(result: Result) -> str:
    assert result.exit_code == 1, result.output
    assert len(result.output.strip().splitlines()) == 1, result.output
    return result.output.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A commit without metrics, then two with: the second has more of everything."""
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "--quiet")
    write(root / ".gitignore", "/out\n")
    commit(root, "Begin")
    write(root / "params.yaml", "seed: 0\ntrain:\n  steps: 100\n  schedule: null\nextra: [a, b]\n")
    write(
        root / "metrics/evaluate.json",
        '{"n": 3, "classifier": {"top1": 0.5, "bad": NaN}, "files": ["a.png"], "no": null}',
    )
    write_picture(root / "metrics/generator/plots/images/samples_0000050.png", "red")
    commit(root, "Run: 100 steps")
    write(root / "params.yaml", "seed: 0\ntrain:\n  steps: 200\n")
    write(root / "metrics/evaluate.json", '{"n": 3, "classifier": {"top1": 0.75}}')
    write(root / "metrics/generator/metrics.json", '{"loss": 0.1, "step": 200}')
    write(root / "metrics/generator/plots/metrics/loss.tsv", "step\tloss\n25\t0.5\n50\tnan\n75\t0.25\n")
    write(root / "metrics/evaluate/confusion.csv", "actual,predicted\n00,0\n00,00\n0,0\n00,0\n")
    write(root / "metrics/evaluate/per_class.csv", "class,accuracy,n\n00,0.5,2\n0,nan,1\n")
    write_picture(root / "metrics/generator/plots/images/samples_0000200.png", "blue")
    write_picture(root / "metrics/evaluate/samples.png", "red")
    commit(root, "Run: 200 steps")
    write(root / "README.md", "words")
    commit(root, "Say something")
    return root


def test_what_was_committed_is_there_and_nothing_else(project: Path) -> None:
    new, old = read(project)
    assert [old["message"], new["message"]] == ["Run: 100 steps", "Run: 200 steps"]
    assert new["kind"] == "commit"
    assert new["commit"] == git(project, "rev-parse", "HEAD~1")
    assert new["date"].endswith("+00:00")
    assert old["metrics"] == {"evaluate": {"n": 3, "classifier.top1": 0.5}}  # neither NaN nor null becomes a number
    assert old["params"] == {"seed": 0, "train.steps": 100, "train.schedule": None, "extra": ["a", "b"]}
    assert old["curves"] == old["confusion"] == old["tables"] == {}
    assert new["metrics"] == {
        "evaluate": {"n": 3, "classifier.top1": 0.75},
        "generator": {"loss": 0.1, "step": 200},
    }
    assert new["curves"] == {"generator": {"loss": {"step": [25, 75], "value": [0.5, 0.25]}}}
    assert new["confusion"] == {"evaluate": {"classes": ["00", "0"], "counts": [[1, 2], [0, 1]]}}
    assert new["tables"] == {
        "evaluate/per_class": {"columns": ["class", "accuracy", "n"], "rows": [["00", 0.5, 2], ["0", None, 1]]}
    }


def test_pictures_are_kept_once_with_their_step_and_size(project: Path) -> None:
    new, old = read(project)
    assert [(image["series"], image.get("step")) for image in new["images"]] == [
        ("evaluate/samples", None),
        ("generator/samples", 50),
        ("generator/samples", 200),
    ]
    assert old["images"] == [new["images"][1]]
    assert new["images"][0]["path"] == new["images"][1]["path"] != new["images"][2]["path"]
    assert len(list((project / "out/images").iterdir())) == 2
    kept = project / "out" / new["images"][2]["path"]
    assert kept.read_bytes() == (project / "metrics/generator/plots/images/samples_0000200.png").read_bytes()
    assert (new["images"][2]["width"], new["images"][2]["height"]) == (6, 4)


def test_the_same_repository_gives_the_same_bytes(project: Path) -> None:
    read(project)
    first = {path.name: path.read_bytes() for path in (project / "out").rglob("*") if path.is_file()}
    read(project)
    assert {path.name: path.read_bytes() for path in (project / "out").rglob("*") if path.is_file()} == first


def test_as_many_revisions_as_asked_for(project: Path) -> None:
    assert [revision["message"] for revision in read(project, "--revisions", "1")] == ["Run: 200 steps"]


def test_the_workspace_comes_first_where_it_differs(project: Path) -> None:
    write(project / "metrics/evaluate.json", '{"n": 4}')
    write_picture(project / "metrics/generator/plots/images/samples_0000300.png", "green")
    workspace, new, _ = read(project)
    assert workspace["kind"] == "workspace"
    assert "commit" not in workspace
    assert workspace["metrics"]["evaluate"] == {"n": 4}
    assert [image["step"] for image in workspace["images"] if "step" in image] == [50, 200, 300]
    assert new["metrics"]["evaluate"]["n"] == 3


def test_a_project_in_a_folder_of_a_repository(project: Path, tmp_path: Path) -> None:
    inner = tmp_path / "outer/inner"
    shutil.copytree(project, inner, ignore=shutil.ignore_patterns(".git"))
    git(inner.parent, "init", "--quiet")
    commit(inner.parent, "All at once")
    (only,) = read(inner)
    assert only["metrics"]["evaluate"] == {"n": 3, "classifier.top1": 0.75}


def test_without_git_the_workspace_alone(project: Path) -> None:
    shutil.rmtree(project / ".git")
    (only,) = read(project)
    assert only["kind"] == "workspace"
    assert only["metrics"]["evaluate"]["classifier.top1"] == 0.75


def test_experiments_of_dvc(project: Path) -> None:
    dvc = lambda *arguments: subprocess.run(["dvc", *arguments], cwd=project, check=True, capture_output=True)  # noqa: E731
    dvc("init", "--quiet")
    write(project / "dvc.yaml", "metrics: [metrics/evaluate.json]\n")
    baseline = commit(project, "Use DVC")
    write(project / "params.yaml", "seed: 0\ntrain:\n  steps: 400\n")
    write(project / "metrics/evaluate.json", '{"n": 3, "classifier": {"top1": 0.9}}')
    dvc("exp", "save", "--name", "longer")
    git(project, "checkout", "--quiet", ".")
    *commits, experiment = read(project)
    assert [revision["kind"] for revision in commits] == ["commit", "commit"]
    assert (experiment["kind"], experiment["name"], experiment["baseline"]) == ("experiment", "longer", baseline)
    assert experiment["metrics"]["evaluate"]["classifier.top1"] == 0.9
    assert experiment["params"]["train.steps"] == 400
    assert experiment["confusion"] == commits[0]["confusion"]  # what it did not change it has from its baseline


def test_what_cannot_be_read(project: Path) -> None:
    read(project)
    before = (project / "out/experiments.json").read_bytes()
    write(project / "metrics/evaluate.json", "{")
    assert error_line(export(project)).startswith("error: metrics/evaluate.json: cannot be read (")
    assert (project / "out/experiments.json").read_bytes() == before
    broken = commit(project, "Commit the half")
    result = export(project)
    assert result.exit_code == 0
    assert f"left out: {broken[:7]}:metrics/evaluate.json: cannot be read (" in result.output
    first = json.loads((project / "out/experiments.json").read_text())["revisions"][0]
    assert first["commit"] == broken
    assert "evaluate" not in first["metrics"]
    assert first["metrics"]["generator"]["step"] == 200


def test_nothing_to_show_and_nothing_to_overwrite(project: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no revision has metrics/*.json; run `dvc repro` first" in error_line(export(tmp_path / "empty"))
    write(project / "out/thesis.txt", "mine")
    assert "is not a directory that this command wrote" in error_line(export(project))
    assert (project / "out/thesis.txt").read_text() == "mine"


def test_which_way_is_better() -> None:
    known = {
        "classifier.top1": "higher",
        "classifier.per_class_accuracy.Maine_Coon": "higher",
        "val_top1": "higher",
        "generator.fd_efficientnet_lite2": "lower",
        "generator.fd_efficientnet_lite2_high": "lower",
        "generator.fd_efficientnet_lite2_share": "lower",
        "generator.kd_efficientnet_lite2_share_low": "lower",
        "generator.precision_efficientnet_lite2": "higher",
        "generator.recall_efficientnet_lite2_low": "higher",
        "generator.diversity_efficientnet_lite2": None,  # as much as that of real images is best
        "classifier.unlike.auroc": "higher",
        "classifier.unlike.told": "higher",
        "classifier.unlike.unlike_test": None,  # about one in twenty is right
        "classifier.top1_low": "higher",
        "classifier.ece": "lower",
        "classifier.accepted_precision": "higher",
        "generator.copying.features.closer_than_p5_of_test": "lower",
        "generator.fd_efficientnet_lite2_floor": None,  # a yardstick, not a result
        "generator.fd_efficientnet_lite2_noise": None,
        "classifier.one.p95_ms": "lower",
        "classifier.features_max_rel_diff": "lower",
        "val_x_mse_50": "lower",
        "loss": None,
        "n": None,
    }
    assert {key: better(key) for key in known} == known


def test_curves_and_tables_of_json_are_as_those_of_earlier_commits(project: Path) -> None:
    shown = ("curves", "confusion", "tables")
    (before, *_) = read(project)
    for old in ("generator/plots/metrics/loss.tsv", "evaluate/confusion.csv", "evaluate/per_class.csv"):
        (project / "metrics" / old).unlink()
    metrics = project / "metrics"
    write_rows(
        metrics / "generator/train.json", [{"step": s, "loss": v} for s, v in ((25, 0.5), (50, None), (75, 0.25))]
    )
    answers = [("00", "0"), ("00", "00"), ("0", "0"), ("00", "0")]
    write_rows(metrics / "evaluate/confusion.json", [{"actual": one, "predicted": other} for one, other in answers])
    rows = [("00", 0.5, 2), ("0", None, 1)]
    write_rows(metrics / "evaluate/per_class.json", [{"class": c, "accuracy": a, "n": n} for c, a, n in rows])
    write_rows(metrics / "generator/val.json", [])
    commit(project, "As JSON")
    (after, *_) = read(project)
    assert after["message"] == "As JSON"
    assert {key: after[key] for key in shown} == {key: before[key] for key in shown}
    assert after["metrics"] == before["metrics"]


def compare(root: Path, base: str) -> Result:
    return CliRunner().invoke(app, ["compare", base, "--root", str(root)])


def test_what_got_better_or_worse(project: Path) -> None:
    def measure(top1: float, fd: float, kd: float, size: int, loss: float, seconds: float) -> None:
        figures = {
            "classifier": {"top1": top1, "top1_low": top1 - 0.1, "top1_high": top1 + 0.1},
            "student": {"fd_x": fd, "fd_x_low": fd - 1, "fd_x_high": fd + 1, "kd_x": kd, "kd_x_low": kd - 1, "kd_x_high": kd + 1},
        }  # fmt: skip
        write(project / "metrics/evaluate.json", json.dumps(figures))
        write(project / "metrics/publish.json", json.dumps({"bytes": size, "gates": []}))
        write(project / "metrics/generator/metrics.json", json.dumps({"loss": loss}))
        write(project / "metrics/timing/fetch.json", json.dumps({"seconds": seconds}))

    measure(0.5, 10, 3, 1000, 0.1, 1)
    commit(project, "Before")
    git(project, "tag", "before")
    assert compare(project, "before").output == "No figure got better or worse.\n"
    measure(0.55, 4, 6, 1200, 0.3, 9)
    lines = compare(project, "before").output.splitlines()
    assert (
        lines[0]
        == "**Intervals apart: 1 worse, 1 better; intervals overlap: 0 worse, 1 better; no interval: 1 worse, 0 better**"
    )
    assert [line for line in lines if line.startswith(("| **", "| better", "| worse"))] == [
        "| **worse** | evaluate: student.kd_x | 3 (2 to 4) | 6 (5 to 7) | no |",
        "| **better** | evaluate: student.fd_x | 10 (9 to 11) | 4 (3 to 5) | no |",
        "| better | evaluate: classifier.top1 | 0.5 (0.4 to 0.6) | 0.55 (0.45 to 0.65) | yes |",
        "| worse | publish: bytes | 1000 | 1200 |  |",
    ]
    assert (
        lines.index("<details><summary>1 more that differ</summary>")
        == lines.index("| better | evaluate: classifier.top1 | 0.5 (0.4 to 0.6) | 0.55 (0.45 to 0.65) | yes |") + 2
    )
    assert error_line(compare(project, "nowhere")).startswith("error: nowhere: is no commit")
    first = git(project, "rev-list", "--max-parents=0", "HEAD")
    assert compare(project, first).output == "There are no figures to compare with.\n"


@pytest.mark.parametrize("content", [b'{"a": 1', b"\xff", b"[" * 100_000], ids=["cut", "no UTF-8", "deep"])
def test_a_damaged_file_is_not_taken_for_no_change(project: Path, content: bytes) -> None:
    write(project / "metrics/evaluate.json", '{"a": 1}')
    commit(project, "Before")
    (project / "metrics/evaluate.json").write_bytes(content)
    assert "metrics/evaluate.json: cannot be read (" in error_line(compare(project, "HEAD"))
    git(project, "commit", "--all", "--message", "Damaged")
    (project / "metrics/evaluate.json").write_text('{"a": 2}')
    assert compare(project, "HEAD").output == "No figure got better or worse.\n"  # in a commit nobody can repair it


def test_names_of_classes_break_no_table(project: Path) -> None:
    for value in (0.5, 0.6):
        figures = {"per_class_accuracy": {"a|b*<c>`": value}}
        write(project / "metrics/evaluate.json", json.dumps({"classifier": figures}))
        if value == 0.5:
            commit(project, "Before")
    row = r"| better | evaluate: classifier.per_class_accuracy.a\|b\*&lt;c&gt;\` | 0.5 | 0.6 |  |"
    assert row in compare(project, "HEAD").output.splitlines()
