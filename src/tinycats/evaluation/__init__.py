"""Measures (pure functions of arrays) and the job that applies them to the models."""
