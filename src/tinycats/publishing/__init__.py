"""Gates, model card, manifest, and the Hugging Face Hub."""
