"""The history of the pipeline's figures, for people to look at: which revisions there are, and what each one measured."""
