import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { explain } from './explanations';

const ROOT = new URL('../../../../', import.meta.url);

function figuresOf(path: string): string[] {
  const names = (value: unknown, key: string): string[] => {
    if (typeof value !== 'object' || value === null) return [key];
    return Object.entries(value).flatMap(([name, item]) => names(item, key ? `${key}.${name}` : name));
  };
  return names(JSON.parse(readFileSync(new URL(path, ROOT), 'utf8')), '');
}

describe('explanations', () => {
  it.each(['metrics/evaluate.json', 'pretrained/metrics/evaluate.json'])('are there for every figure of %s', (path) => {
    const figures = figuresOf(path);
    expect(figures.length).toBeGreaterThan(50);
    expect(figures.filter((name) => !explain('evaluate', name))).toEqual([]);
  });

  it.each([
    ['generator.fd_efficientnet_lite2', 'Fréchet distance between generated'],
    ['generator.fd_efficientnet_lite2_floor', 'mark at which the share of fd is 0'],
    ['generator.fd_efficientnet_lite2_share', '0 is as near as training pictures are'],
    ['student.kd_efficientnet_lite2', 'kernel distance between'],
    ['few_steps.student_1.recall_efficientnet_lite2', 'test pictures that lie among the generated'],
    ['student.diversity_efficientnet_lite2', 'About 1. Below: the pictures are too alike.'],
    ['student.class_agreement', 'the class that was asked for'],
    ['student.class_agreement_of_test', 'mark for class_agreement'],
    ['generator.copying.features.median_ratio', 'Near 0: copies'],
    ['classifier.per_class_accuracy.Maine_Coon', 'test pictures of this class'],
    ['classifier.per_class_accuracy.top1', 'test pictures of this class'], // a class may have any name
    ['classifier.ece', 'Near 0.'],
  ])('of %s say: %s', (name, words) => {
    const { what, good } = explain('evaluate', name)!;
    expect(`${what} ${good}`).toContain(words);
  });

  it('of the ends of an interval say which end it is', () => {
    expect(explain('evaluate', 'classifier.top1_low')?.what).toMatch(/^The lower end of the 95% interval of: The share of test/);
    expect(explain('evaluate', 'classifier.top1_high')?.what).toMatch(/^The upper end/);
  });

  it('are of figures that evaluate measures, and of no others', () => {
    expect(explain('classifier', 'top1')).toBeUndefined();
    expect(explain('evaluate', 'neighbours')).toBeUndefined();
  });
});
