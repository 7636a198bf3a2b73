import { displayName } from '../../lib/manifest';
import type { Answer } from './useClassifications';

/** What the page answers, in words. */
export function answerText({ verdict, ranking }: Answer, classes: readonly string[]): string {
  if (verdict === 'unlike') return 'Unlike the training pictures';
  return verdict === 'not sure' ? 'Not sure' : displayName(classes[ranking[0]!.label]!);
}
