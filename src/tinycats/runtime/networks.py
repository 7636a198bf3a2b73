"""Names of timm's image networks."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from tinycats.runtime.words import did_you_mean, nearest_names

# Known without timm, whose import takes seconds
KNOWN = (
    "resnet18", "resnet34", "resnet50", "tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2",
)  # fmt: skip


def check_network(name: str) -> str:
    """The name, as it is. Raises ValueError, with the nearest names, where timm has no such network."""
    if name in KNOWN:
        return name
    from tinycats.runtime.timm import timm

    known = timm.list_pretrained() if "." in name else timm.list_models()  # what follows the dot names weights
    if name not in known:
        raise ValueError(f"timm has no network {name!r}{did_you_mean(nearest_names(name, known))}")
    return name


NetworkName = Annotated[str, AfterValidator(check_network)]
