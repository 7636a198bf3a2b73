"""The student of the generator, which needs few steps."""
