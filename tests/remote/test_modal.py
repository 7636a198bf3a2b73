from __future__ import annotations

from tests.remote.conftest import Checkout


def test_a_training_on_modal(checkout) -> None:
    here: Checkout = checkout()
    output = here.finish("train_dit")
    print(output, here.log(), here.service.requests)
    assert (here.path / "models/generator/model.safetensors").exists()
