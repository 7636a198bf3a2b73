/** How much each place of the picture points to a class: head weights times features, exactly what the logit averages. */
export function heatMap(
  head: Float32Array,
  features: Float32Array,
  shape: { channels: number; height: number; width: number },
  label: number,
): Float32Array {
  const places = shape.height * shape.width;
  const map = new Float32Array(places);
  for (let channel = 0; channel < shape.channels; channel++) {
    const weight = head[label * shape.channels + channel]!;
    for (let place = 0; place < places; place++) map[place]! += weight * features[channel * places + place]!;
  }
  return map;
}

export interface Ranked {
  label: number;
  confidence: number;
}

export function ranked(confidences: readonly number[], count = confidences.length): Ranked[] {
  return confidences
    .map((confidence, label) => ({ label, confidence }))
    .sort((a, b) => b.confidence - a.confidence || a.label - b.label)
    .slice(0, count);
}
