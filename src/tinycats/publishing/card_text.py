"""The text of the model card, a Jinja template. The Python in it runs, in this order, in the published folder."""

CARD_TEXT = """# {{ name }}

Two small models trained by one pipeline on {{ dataset }}: a classifier of {{ classifier.classes | length }} classes
and a class-conditional picture generator (TinyDiT, {{ generator.image_size }} x {{ generator.image_size }} pixels).
{% if data.synthetic %}

**The data is synthetic**: drawn by a program, not photographed. Every number here is about such pictures and says
nothing about photos.
{% endif %}

| file | what it is | MB |
|---|---|---|
{% for path, size in megabytes.items() %}
{% set kind = "classifier" if "classifier" in path else "generator" %}
| {{ path }} | {{ kind }}, {{ "int8" if "int8" in path else "float32" }} | {{ size }} |
{% endfor %}

The classifier is a {{ arch }}, {{ parameters.classifier }} parameters; the generator has {{ parameters.generator }}.
`manifest.json` lists every file with its SHA-256, the inputs and outputs of the ONNX files, and the metrics in full.

Classes: {{ classifier.classes | join(", ") }}.
{% if classifier.other %}
The class `{{ classifier.other }}` is everything that is none of the others.
{% endif %}

## Results
{% macro table(rows) %}

| metric | value |
|---|---|
{% for row in rows %}
| {{ row[0] }} | {{ row[1] }} |
{% endfor %}
{% endmacro %}

All on the test split of {{ dataset }}, which took no part in training.
{% if rows.classifier %}

### Classifier
{{ table(rows.classifier) }}
{% endif %}
{% if rows.generator %}

### Generator

Sampled with {{ sampler.method }}, {{ sampler.steps }} steps, guidance {{ sampler.guidance }} where
{{ sampler.guidance_low }} <= t < {{ sampler.guidance_high }}.
FD-classifier and KD-classifier are the Fréchet and kernel distances on the features of a small network trained on the
same data: compare them within this project only.
{{ table(rows.generator + rows.inception) }}
{% endif %}
{% if rows.quantize %}

### int8
{{ table(rows.quantize) }}
{% endif %}
{% if rows.export %}

### ONNX against PyTorch
{{ table(rows.export) }}
{% endif %}
{% if gates %}

Nothing is published unless these bounds hold:

| metric | value | bound |
|---|---|---|
{% for metric, (value, bound) in gates.items() %}
| {{ metric }} | {{ value }} | {{ bound }} |
{% endfor %}
{% endif %}

## Data

{{ dataset }}, licence: {{ data.licence }}. The weights are under the licence `{{ licence }}`.
{% if "preprocess" in metrics %}
{% set counts = metrics.preprocess %}

{{ counts.kept }} of {{ counts.read }} pictures were used: {{ counts.splits | words }}.
Left out: {{ counts.quarantined | words }}.
{% endif %}

## Intended use and limits

For learning, demonstrations and experiments in a browser or on a small machine. The classifier knows the classes above
and no others, and gives a probability for each whatever the picture shows. The generator makes pictures of
{{ generator.image_size }} pixels; they are no evidence of what a breed looks like. Do not use either where a mistake
hurts an animal or a person.
{% if samples %}

## Pictures
{% for sample in samples %}

![{{ sample }}](samples/{{ sample }})
{% endfor %}
{% if "mistakes.png" in samples or "nearest.png" in samples %}

`mistakes.png` and `nearest.png` show pictures of the data, under its licence.
{% endif %}
{% endif %}

{% if adapters %}
## Adapters

LoRA adapters of the generator: each adds one animal that it learned from a few photos.

| directory | animal | started as | rank |
|---|---|---|---|
{% for adapter in adapters %}
| {{ adapter.path }} | {{ adapter.name }} | {{ adapter.like }} | {{ adapter.rank }} |
{% endfor %}

```bash
pip install 'tinycats[adapt]'
tinycats generate --model generator --adapter {{ adapters[0].path }}
tinycats merge {{ adapters[0].path }} --base generator --out merged
```

{% endif %}
## How to load

{% if repo_id %}
Download this repository,

```bash
hf download {{ repo_id }} --local-dir {{ repo_id.split("/")[1] }}
```

and run these in its folder, in this order. `TinyDiT.from_pretrained("{{ repo_id }}", subfolder="generator")` and
`Classifier.from_pretrained("{{ repo_id }}", subfolder="classifier")` work without the download, too.
{% else %}
Download this repository and run these in its folder, in this order.
{% endif %}
The first two need the `tinycats` package; the others numpy, Pillow and onnxruntime only.

Generate four pictures:

```python
from PIL import Image
from tinycats.models.sampler import SamplerSettings, initial_noise, sample, to_uint8
from tinycats.models.tinydit import TinyDiT, one_hot_classes

model = TinyDiT.from_pretrained("generator")
classes = model.config.classes
settings = SamplerSettings(
    method="{{ sampler.method }}",
    steps={{ sampler.steps }},
    guidance={{ sampler.guidance }},
    guidance_low={{ sampler.guidance_low }},
    guidance_high={{ sampler.guidance_high }},
)
noise = initial_noise(seed=7, indices=range(4), image_size=model.config.image_size)
weights = one_hot_classes([classes.index({{ example_class }})] * 4, len(classes))
pictures = to_uint8(sample(model, noise, weights, settings))  # uint8 (4, size, size, 3)
Image.fromarray(pictures[0].numpy()).save("picture.png")
```

Classify a picture:

```python
from pathlib import Path

import torch
from tinycats.data.decode import decode, to_square
from tinycats.models.classifier import Classifier

model = Classifier.from_pretrained("classifier")
image = decode(Path("picture.png").read_bytes(), min_side_px=1, max_pixels=100_000_000)
pixels = torch.tensor(to_square(image, model.config.image_size))[None]  # uint8 (1, size, size, 3)
probabilities = model.predict(pixels)[0]
print(model.config.classes[int(probabilities.argmax())], float(probabilities.max()))
```

Classify with ONNX Runtime:

```python
import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

classifier = json.loads(Path("manifest.json").read_text(encoding="utf-8"))["classifier"]
session = onnxruntime.InferenceSession("onnx/classifier.onnx")
size = classifier["image_size"]
image = ImageOps.fit(Image.open("picture.png").convert("RGB"), (size, size))
feed = {classifier["inputs"][0]["name"]: np.asarray(image)[None]}
probabilities, feature_map = session.run(None, feed)
probabilities = probabilities[0]
print(classifier["classes"][probabilities.argmax()], probabilities.max())
```

Generate with ONNX Runtime (Euler steps from t=0, noise, to t=1, data; the network predicts the clean picture):

```python
import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

manifest = json.loads(Path("manifest.json").read_text(encoding="utf-8"))
generator, sampler = manifest["generator"], manifest["sampler"]
session = onnxruntime.InferenceSession("onnx/generator.onnx")
names = [item["name"] for item in generator["inputs"]]  # x, t, h, class weights


def predict(z, t, label):
    weights = np.eye(generator["null_class"] + 1, dtype=np.float32)[[label] * len(z)]
    times, zeros = np.full(len(z), t, np.float32), np.zeros(len(z), np.float32)
    return session.run(None, dict(zip(names, (z, times, zeros, weights))))[0]


label, steps, size = generator["classes"].index({{ example_class }}), sampler["steps"], generator["image_size"]
z = np.random.default_rng(7).standard_normal((4, 3, size, size), dtype=np.float32)
for step in range(steps):
    t = step / steps
    x = predict(z, t, label)
    if sampler["guidance_low"] <= t < sampler["guidance_high"]:
        null = predict(z, t, generator["null_class"])
        x = null + sampler["guidance"] * (x - null)
    z = z + (x - z) / (1 - t) / steps
pixels = ((z.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8).transpose(0, 2, 3, 1)
Image.fromarray(pixels[0]).save("picture_onnx.png")
```
"""
