"""LoRA adapters of the generator, trained on a few photos of one animal."""
