"""How many photos an adapter is for, and how it is trained: apart, since `tinycats adapt --help` must not import torch."""

MIN_PHOTOS, MAX_PHOTOS = 5, 30
STEPS = 400
RANK = 8
