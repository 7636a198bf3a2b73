"""How much of a picture a classifier should look at that was trained on random crops: python benchmarks/middle.py --root DIR

DIR is a checkout after `dvc repro train_classifier` with source_size and crop_size: its params.yaml, data/processed and
models/classifier are read. Judged on the validation split. Writes benchmarks/results/middle.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from machine import machine, write_tables
from tinycats.classifier.network import Classifier
from tinycats.data.pixels import as_tensor, to_float
from tinycats.data.processed import load_split
from tinycats.runtime.errors import UserError, one_line_errors
from tinycats.runtime.params import load_params
from tinycats.runtime.vision import torchvision

SHARES = (1.0, 0.95, 0.9, 0.875, 0.85, 0.825, 0.8, 0.775, 0.75, 0.7)


@torch.inference_mode()
def logits_of(model: Classifier, pixels: Tensor, share: float, size: int) -> Tensor:
    """Logits (2, N, K) of the middle of float pixels (N, 3, S, S) in [0, 1], a share of their side, and of its mirror image."""
    middle = torchvision.transforms.functional.center_crop(pixels, [round(share * pixels.shape[-1])])
    middle = F.interpolate(middle, size=(size, size), mode="bilinear", antialias=True)
    return torch.stack([model(view)[0] for view in (middle, middle.flip(3))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path())
    root = parser.parse_args().root
    settings = load_params(root / "params.yaml").classifier
    if settings.source_size is None or settings.crop_size is None:
        raise UserError(f"{root}/params.yaml: classifier.source_size and classifier.crop_size must be set")
    model = Classifier.from_pretrained(root / "models/classifier").eval()
    val = load_split(root / "data/processed", "val", settings.source_size)
    pixels = to_float(as_tensor(val.images))
    labels = torch.from_numpy(val.labels)
    before = machine()
    rows = []
    for share in SHARES:
        probabilities = logits_of(model, pixels, share, settings.crop_size).softmax(dim=2).mean(dim=0)
        right = (probabilities.argmax(dim=1) == labels).float().mean().item()
        rows.append([f"{share:.3f}", f"{right:.1%}", f"{F.nll_loss(probabilities.log(), labels).item():.3f}"])
    notes = (
        f"The middle of the {len(labels)} validation photos that were set apart, resized to "
        f"{settings.crop_size} px from {settings.source_size} px, by the classifier, without temperature. The weights were "
        f"chosen on the same photos, looking at {settings.crop_size / settings.image_size:.3f} of their side."
    )
    write_tables(
        "middle", before, notes, [{"head": ["share of the side", "top-1", "negative log-likelihood"], "rows": rows}]
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
