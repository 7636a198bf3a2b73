"""A look at the data before training: near-duplicates, likely wrong labels, outliers, balance and sizes."""
