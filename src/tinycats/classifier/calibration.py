"""What a trained classifier's answers are worth: temperature, when it is "not sure", and what is unlike anything it has seen."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from tinycats.backbones.features import resize
from tinycats.classifier.distance import fit_distance
from tinycats.classifier.network import Classifier
from tinycats.data.pixels import as_tensor
from tinycats.data.processed import Split, sampled

BATCH_SIZE = 64
TRAINING_IMAGES = 20_000  # at most, that the distance is fitted on
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
PRECISION = 0.95  # of the answers that are accepted
UNLIKE = 0.03  # share of images like the training images that are taken for unlike ones,
UNLIKE_AT_MOST = 0.05  # and where there are few images for validation


@torch.inference_mode()
def calibrate(model: Classifier, train: Split, val: Split) -> Classifier:
    """The model with its distance fitted on the training images, and temperature, limit and threshold on those for validation.

    The temperature is fitted on the logits, the threshold then on what predict() answers, the distance on a sample of many.
    """
    model.eval()
    train = sampled(train, TRAINING_IMAGES)
    _, train_features = _outputs(model, train)
    model.distance = fit_distance(train_features, train.labels, model.config.num_classes)
    logits, features = _outputs(model, val)
    labels = torch.from_numpy(val.labels)
    temperature = fit_temperature(logits, labels)
    probabilities = (logits / temperature).softmax(dim=2).mean(dim=0).numpy()
    right = probabilities.argmax(axis=1) == val.labels
    changes = {
        "temperature": temperature,
        "reject_threshold": reject_threshold(probabilities.max(axis=1), right),
        "distance_dims": model.distance.means.shape[1],
        "distance_limit": distance_limit(model.distance(features).numpy()) or None,  # 0 of a single training image
    }
    model.config = model.config.model_copy(update=changes)
    return model


def _outputs(model: Classifier, split: Split) -> tuple[Tensor, Tensor]:
    """Logits (V, N, K) of all views and pooled features (N, C), on the CPU, of images of any size."""
    device = next(model.parameters()).device
    logits, features = [], []
    for start in range(0, len(split.labels), BATCH_SIZE):
        images = resize(as_tensor(split.images[start : start + BATCH_SIZE]).to(device), model.config.image_size)
        of_batch, maps = model.views(images)
        logits.append(of_batch.cpu())
        features.append(maps.mean(dim=(2, 3)).cpu())
    return torch.cat(logits, dim=1), torch.cat(features)


def distance_limit(distances: np.ndarray, unlike: float = UNLIKE, at_most: float = UNLIKE_AT_MOST) -> float | None:
    """The distance that an image like the N given ones exceeds with a probability of at most `unlike`.

    The (N + 1)(1 - unlike)-th smallest, rounded up: a conformal bound, which holds on average for any distribution (Vovk et
    al. 2005; Bates et al. 2023 for outliers). Where N is too small for that the largest, which 1 / (N + 1) exceed; None where
    these are more than `at_most`.
    """
    n = len(distances)
    if 1 / (n + 1) > at_most:
        return None
    return float(np.sort(distances)[min(int(np.ceil((n + 1) * (1 - unlike))), n) - 1])


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The T that minimises the negative log-likelihood of mean over views of softmax(logits / T) (Guo et al. 2017).

    logits: (V, N, K), V views of each picture; labels: int64 (N,). Where all pictures are classified rightly, the
    likelihood alone would grow without end as T falls to 0. So the labels are smoothed by 1 / (N + 2), which is about
    how often a classifier may be wrong that was right N times out of N (Platt 1999). 0.05 <= T <= 20.
    """
    logits = logits.double()

    def loss(log_temperature: float) -> float:
        log_probabilities = (logits / np.exp(log_temperature)).log_softmax(dim=2).logsumexp(dim=0)  # (N, K), + log V
        return F.cross_entropy(log_probabilities, labels, label_smoothing=1 / (len(labels) + 2)).item()

    bounds = (np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def reject_threshold(confidence: np.ndarray, right: np.ndarray, precision: float = PRECISION) -> float | None:
    """The smallest confidence such that `precision` of other images' answers with at least that can be expected to be right.

    confidence: float [N]; right: bool [N]. The smallest t with (1 + wrong answers at or above t) / (1 + answers at or above t)
    <= 1 - precision, which bounds the expected share of wrong answers among those accepted (Barber & Candes 2015; Jin & Candes
    2023 for predictions): the bare share would be too good by its choice. 0 where all answers pass, None where no confidence
    does.
    """
    order = np.argsort(-confidence, kind="stable")
    confidence, wrong = confidence[order], np.cumsum(~right[order])
    ends = np.append(confidence[1:] < confidence[:-1], True)  # equal confidences are accepted together or not at all
    bound = (1 + wrong) / (1 + np.arange(1, len(right) + 1))
    enough = np.flatnonzero(ends & (bound <= 1 - precision + 1e-12))
    if not len(enough):
        return None
    return 0.0 if enough[-1] == len(right) - 1 else float(confidence[enough[-1]])
