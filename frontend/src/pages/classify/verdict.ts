import { displayName, type Manifest } from '../../lib/manifest';
import type { Answer } from './items';

export type Verdict = 'class' | 'not sure' | 'unlike';

type Judged = Pick<Answer, 'ranking' | 'distance'>;
type Bounds = Pick<Manifest['classifier'], 'reject_threshold' | 'distance_limit'>;

/** What the page answers, by the same rules as `tinycats predict`. */
export function verdictOf({ ranking, distance }: Judged, bounds: Bounds): Verdict {
  const { reject_threshold: threshold, distance_limit: limit } = bounds;
  if (distance !== null && limit != null && distance > limit) return 'unlike';
  return threshold != null && ranking[0]!.confidence < threshold ? 'not sure' : 'class';
}

/** The same in words. */
export function answerText(answer: Judged, classifier: Manifest['classifier']): string {
  const verdict = verdictOf(answer, classifier);
  if (verdict === 'unlike') return 'Unlike the training pictures';
  return verdict === 'not sure' ? 'Not sure' : displayName(classifier.classes[answer.ranking[0]!.label]!);
}
