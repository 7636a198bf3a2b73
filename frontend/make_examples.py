"""The example pictures of the web page, drawn with a seed that no training run uses: python frontend/make_examples.py"""

from pathlib import Path

from PIL import Image

from tinycats.sources.synthetic import render

NAMES = ("Bengal", "Siamese", "Bombay", "Sphynx", "Persian", "other")
SEED = 4242

for name in NAMES:
    path = Path(__file__).parent / "public/examples" / f"{name}.jpg"
    Image.fromarray(render(name, 1, SEED, 256)).save(path, quality=88)
