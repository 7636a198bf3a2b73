"""The contract that training reads: raw and processed data sets, batches, augmentation, randomness."""
