"""tinycats: from labelled photos to a breed classifier and a small image generator."""
