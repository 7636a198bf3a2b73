"""The evaluator: a network that is trained for its features alone, which judge the generator."""
