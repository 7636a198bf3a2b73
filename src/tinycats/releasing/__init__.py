"""`pretrained/`: a small part of the published models, which is kept in git."""
