"""The breed classifier: network, the task that trains it (and the evaluator), calibration."""
