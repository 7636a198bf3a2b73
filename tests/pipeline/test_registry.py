"""The README's commands about versions, in the tiny project; tests/remote/test_s3.py has their errors, and S3."""

from __future__ import annotations

from pathlib import Path

from tests.pipeline.conftest import Project
from tests.pipeline.test_readme import readme


def test_a_classifier_is_registered_and_got_from_elsewhere(project: Project, tmp_path: Path) -> None:
    config = project.path / ".dvc/config"
    text = config.read_text().replace("[core]\n", "[core]\n    remote = storage\n")
    config.write_text(f"{text}['remote \"storage\"']\n    url = {tmp_path / 'remote'}\n")
    project.commit("Share")
    project.dvc("push", "models/classifier")
    assert (
        "tagged classifier@v1.2.0, classifier#prod#1" in project.run("bash", "-c", readme("tinycats register")).stdout
    )
    elsewhere = Project(tmp_path / "elsewhere")
    elsewhere.path.mkdir()
    command = readme("dvc artifacts get").replace("REPOSITORY", str(project.path))
    elsewhere.run("bash", "-c", command)
    for name in ("config.json", "model.safetensors"):
        assert elsewhere.read(f"classifier/{name}") == project.read(f"models/classifier/{name}")
    refused = project.run("tinycats", "register", "clasifier", "--version", "1.2.0", check=False)
    artifacts = "classifier, generator, published, student"
    assert refused.stderr == f"error: clasifier: is no artifact of dvc.yaml; it has {artifacts}\n"
    assert project.run("git", "tag").stdout.split() == ["classifier#prod#1", "classifier@v1.2.0"]
