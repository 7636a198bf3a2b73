"""The text of the model card, a Jinja template. The Python in it runs, in this order, in the published folder."""

CARD_TEXT = """# {{ name }}

Small models trained by one pipeline on {{ dataset }}: a classifier of {{ classifier.classes | length }} classes
and a class-conditional picture generator (TinyDiT, {{ generator.image_size }} x {{ generator.image_size }} pixels), the
latter twice: as it was trained, and distilled to a student that needs {{ generator_fast.sampler.steps }} network
evaluations for a picture.
{% if data.synthetic %}

**The data is synthetic**: drawn by a program, not photographed. Every number here is about such pictures and says
nothing about photos.
{% endif %}

| file | what it is | MB |
|---|---|---|
{% for path, size in megabytes.items() %}
{% set kind = "classifier" if "classifier" in path else "few-step student" if "fast" in path else "generator" %}
| {{ path }} | {{ kind }}, {{ "int8" if "int8" in path else "float32" }} | {{ size }} |
{% endfor %}

The classifier is a {{ arch }}, {{ parameters.classifier }} parameters; the generator has {{ parameters.generator }},
and so has its student.
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

All on the test split of {{ dataset }}, which took no part in training. In brackets 95% intervals: what other pictures, as
many of them, would give; another training run is not in them.
{% if rows.classifier %}

### Classifier
{{ table(rows.classifier) }}
{% endif %}
{% if rows.generator %}

### Generator

Sampled with {{ generator.sampler.method }}, {{ generator.sampler.steps }} steps, guidance {{ generator.sampler.guidance }} where
{{ generator.sampler.guidance_low }} <= t < {{ generator.sampler.guidance_high }}.
FD-classifier and KD-classifier are the Fréchet and kernel distances on the features of a small network trained on the
same data: compare them within this project only.
{{ table(rows.generator + rows.inception) }}
{% endif %}
{% if rows.generator_fast %}

### Few-step student

The generator distilled: the same network, guidance baked in, {{ generator_fast.sampler.steps }} steps of one evaluation each.
{{ table(rows.generator_fast) }}
{% endif %}
{% if few_steps %}

| | steps | FD-classifier | KD-classifier | class agreement |
|---|---|---|---|---|
{% for row in few_steps %}
| {{ row | join(" | ") }} |
{% endfor %}
{% endif %}
{% if "few_steps.png" in samples %}

![the teacher and its student](samples/few_steps.png)

Rows: the same class and noise. Columns: the teacher in {{ generator.sampler.steps }} steps and in
{{ generator_fast.sampler.steps }}; the student in {{ generator_fast.sampler.steps }} steps, then in fewer.
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
and no others, and gives a probability for each whatever the picture shows.
{% if classifier.reject_threshold is not none %}
Below a probability of {{ "%.3f" | format(classifier.reject_threshold) }} take its answer for "not sure": above it, 95% of
the answers on the validation split were right.
{% endif %}
Probabilities are calibrated there too: the logits are divided by {{ "%.3f" | format(classifier.temperature) }}, inside
the ONNX files as well. The generator makes pictures of
{{ generator.image_size }} pixels; they are no evidence of what a breed looks like. Do not use either where a mistake
hurts an animal or a person.
{% if samples %}

## Pictures
{% for sample in samples if sample != "few_steps.png" %}

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

and run these in its folder, in this order. `TinyDiT.from_pretrained("{{ repo_id }}", subfolder="generator_fast")` and
`Classifier.from_pretrained("{{ repo_id }}", subfolder="classifier")` work without the download, too.
{% else %}
Download this repository and run these in its folder, in this order.
{% endif %}
The first two need the `tinycats` package; the others numpy, Pillow and onnxruntime only.

Generate four pictures with the student:

```python
from PIL import Image
from tinycats.generator.sampler import few_step_settings, initial_noise, sample, to_uint8
from tinycats.generator.network import TinyDiT, one_hot_classes

model = TinyDiT.from_pretrained("generator_fast")
classes = model.config.classes
settings = few_step_settings({{ generator_fast.sampler.steps }})
noise = initial_noise(seed=7, indices=range(4), image_size=model.config.image_size)
weights = one_hot_classes([classes.index({{ example_class }})] * 4, len(classes))
pictures = to_uint8(sample(model, noise, weights, settings))  # uint8 (4, size, size, 3)
Image.fromarray(pictures[0].numpy()).save("picture.png")
```

Classify a picture:

```python
from pathlib import Path

import torch
from tinycats.preparing.decode import decode, to_square
from tinycats.classifier.network import Classifier

model = Classifier.from_pretrained("classifier")
image = decode(Path("picture.png").read_bytes(), min_side_px=1, max_pixels=100_000_000)
pixels = torch.tensor(to_square(image, model.config.image_size, model.config.fit))[None]  # uint8 (1, size, size, 3)
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
picture = Image.open("picture.png").convert("RGB")
stretch = classifier["input_convention"]["fit"] == "stretch"
image = picture.resize((size, size)) if stretch else ImageOps.fit(picture, (size, size))
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
generator = manifest["generator_fast"]  # the student; manifest["generator"] is the teacher
sampler = generator["sampler"]
session = onnxruntime.InferenceSession(generator["files"]["fp32"])
names = [item["name"] for item in generator["inputs"]]  # x, t, h, class weights
steps = sampler["steps"]
h = 1 / steps if generator["time_convention"]["h"] == "step" else 0  # a student is told how long the step is


def predict(z, t, label):
    weights = np.eye(generator["null_class"] + 1, dtype=np.float32)[[label] * len(z)]
    times, lengths = np.full(len(z), t, np.float32), np.full(len(z), h, np.float32)
    return session.run(None, dict(zip(names, (z, times, lengths, weights))))[0]


label, size = generator["classes"].index({{ example_class }}), generator["image_size"]
z = np.random.default_rng(7).standard_normal((4, 3, size, size), dtype=np.float32)
for step in range(steps):
    t = step / steps
    x = predict(z, t, label)
    if sampler["guidance"] != 1 and sampler["guidance_low"] <= t < sampler["guidance_high"]:
        null = predict(z, t, generator["null_class"])
        x = null + sampler["guidance"] * (x - null)
    z = z + (x - z) / (1 - t) / steps
pixels = ((z.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8).transpose(0, 2, 3, 1)
Image.fromarray(pixels[0]).save("picture_onnx.png")
```
"""
