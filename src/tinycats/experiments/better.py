"""Whether a higher value of a metric is better, as far as its name tells."""

from __future__ import annotations

import re
from typing import Literal

# Losses are in neither: they do not compare across augmentations, label smoothings or noise schedules. The generator's
# val_x_mse_<percent> do: they are its error on fixed images, noise and times.
HIGHER = re.compile(
    r"(best_)?(val_)?top[15](_before|_after)?|macro_f1|cat_or_other|class_agreement|agreement|(precision|recall)(_\w+)?"
    r"|auroc|told|coverage|accepted_precision|images_per_second|inception_score|passed"
)
LOWER = re.compile(
    r"ece(_unscaled)?|(fd|kd)_(?!\w+_(floor|noise)$)\w+|fid|kid|closer_than_p[15]_of_test"
    r"|(best_)?val_x_mse_\d+"
    r"|accuracy_drop|fd_increase|(.*_)?(max|mean)_(abs|rel)_diff"
    r"|bytes(_before|_after)?|p\d\d_ms|seconds|peak_memory_mb"
)


def better(key: str) -> Literal["higher", "lower"] | None:
    """None if it is unknown or a matter of taste. `key` is dotted."""
    *parents, name = key.split(".")
    name = re.sub("_(low|high)$", "", name)  # the ends of an interval
    if HIGHER.fullmatch(name) or "per_class_accuracy" in parents:  # below it are names of classes
        return "higher"
    return "lower" if LOWER.fullmatch(name) else None
