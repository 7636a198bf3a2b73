import type { Curve } from './report';

/** Exponential moving average; `weight` of the past is 0 (as measured) to below 1. The first values are not drawn to 0. */
export function smooth(values: number[], weight: number): number[] {
  let sum = 0;
  let total = 0;
  return values.map((value) => {
    sum = weight * sum + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return sum / total;
  });
}

/** At most about `count` of the points, evenly spaced, the first and the last among them. */
export function thin(curve: Curve, count: number): Curve {
  const last = curve.step.length - 1;
  const stride = Math.ceil(curve.step.length / count);
  if (stride <= 1) return curve;
  const keep = (_: number, index: number) => index % stride === 0 || index === last;
  return { step: curve.step.filter(keep), value: curve.value.filter(keep) };
}

/** One axis for several curves: all their steps, and null where a curve has no value. */
export function align(curves: Curve[]): { steps: number[]; values: (number | null)[][] } {
  const steps = [...new Set(curves.flatMap((curve) => curve.step))].sort((a, b) => a - b);
  return {
    steps,
    values: curves.map((curve) => {
      const known = new Map(curve.step.map((step, index) => [step, curve.value[index]!]));
      return steps.map((step) => known.get(step) ?? null);
    }),
  };
}
