"""`pretrained/`, a small part of the published models that is kept in git, and versions of models as git tags."""
