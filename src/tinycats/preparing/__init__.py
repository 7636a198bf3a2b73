"""From raw to processed data: decoding, checks, duplicates, splits."""
