"""What a trained classifier's confidence is worth: its temperature and the confidence below which it is "not sure"."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from tinycats.classifier.network import Classifier
from tinycats.data.pixels import as_tensor
from tinycats.data.processed import Split

BATCH_SIZE = 128
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
PRECISION = 0.95  # of the answers that are accepted


@torch.inference_mode()
def calibrate(model: Classifier, val: Split) -> None:
    """Set temperature and reject_threshold in model.config from the validation split.

    The temperature is fitted on the logits, the threshold then on what predict() answers.
    """
    model.eval()
    device = next(model.parameters()).device
    batches = [
        as_tensor(val.images[start : start + BATCH_SIZE]).to(device) for start in range(0, len(val.labels), BATCH_SIZE)
    ]
    logits = torch.cat([model.views(batch)[0].cpu() for batch in batches], dim=1)  # (V, N, K)
    temperature = fit_temperature(logits, torch.from_numpy(val.labels))
    model.config = model.config.model_copy(update={"temperature": temperature})
    probabilities = torch.cat([model.predict(batch).cpu() for batch in batches]).numpy()
    right = probabilities.argmax(axis=1) == val.labels
    threshold = reject_threshold(probabilities.max(axis=1), right)
    model.config = model.config.model_copy(update={"reject_threshold": threshold})


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
    """The smallest confidence such that of the answers with at least that, a share of `precision` is right.

    confidence: float [N]; right: bool [N]. 0 where that holds of all answers, None where no confidence is enough.
    """
    order = np.argsort(-confidence, kind="stable")
    confidence, share_right = confidence[order], np.cumsum(right[order]) / np.arange(1, len(right) + 1)
    ends = np.append(confidence[1:] < confidence[:-1], True)  # equal confidences are accepted together or not at all
    enough = np.flatnonzero(ends & (share_right >= precision))
    if not len(enough):
        return None
    return 0.0 if enough[-1] == len(right) - 1 else float(confidence[enough[-1]])
