"""Draw notebooks/assets: cats by the pipeline's own program, so that nobody's photo is in the repository.

python notebooks/draw_assets.py
"""

from pathlib import Path

from PIL import Image

from tinycats.sources.synthetic import render

ASSETS = Path(__file__).parent / "assets"
SEED, SIZE_PX = 19, 192
DRAWN = ("Bengal", "Bombay", "Persian", "Siamese", "Sphynx", "other")


def main() -> None:
    ASSETS.mkdir(exist_ok=True)
    for name in DRAWN:
        Image.fromarray(render(name, 0, SEED, SIZE_PX)).save(ASSETS / f"{name.lower()}.png", optimize=True)


if __name__ == "__main__":
    main()
