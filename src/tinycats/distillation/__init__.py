"""The few-step student of the generator."""
