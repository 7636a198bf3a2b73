"""The breed classifier: network, the task that trains it, calibration."""
