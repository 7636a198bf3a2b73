/** What a figure of evaluate is, in a sentence or two, and what a good value of it is. */
export interface Explanation {
  what: string;
  good: string;
}

interface Family extends Explanation {
  /** The last part of the figure's dotted name, without the end of an interval. */
  name: RegExp;
  /** Of the whole name, where the last part alone says too little. */
  within?: RegExp;
}

const COUNT = 'It is a count and no result: the more pictures, the narrower the intervals.';
const ONE = 'At most 1, which is all of them.';

/** The first that matches counts. */
const FAMILIES: readonly Family[] = [
  {
    name: /./,
    within: /(^|\.)per_class_accuracy\./,
    what: 'The share of the test pictures of this class that are recognized.',
    good: `${ONE} With few pictures of a class, one picture more or less is a large step.`,
  },
  {
    name: /^top1$/,
    what: 'The share of test pictures whose most likely class is the right one.',
    good: `${ONE} Guessing has 1 / the number of classes.`,
  },
  {
    name: /^top5$/,
    what: 'The share of test pictures whose right class is among the five most likely ones.',
    good: `${ONE} It says little where there are few classes.`,
  },
  {
    name: /^macro_f1$/,
    what: 'The mean over the classes of F1, in which missed pictures and false alarms of a class both count.',
    good: `${ONE} Far below top1: rare classes do worse than frequent ones.`,
  },
  {
    name: /^cat_or_other$/,
    what: 'The share of test pictures of which it is rightly said whether they show one of the breeds, whichever it is.',
    good: ONE,
  },
  {
    name: /^ece_unscaled$/,
    what: 'The calibration error before the confidences are divided by a fitted temperature.',
    good: 'Compare it with ece: the temperature should lower it.',
  },
  {
    name: /^ece$/,
    what: 'The calibration error: by how much the confidence differs on average from how often the answer is right.',
    good: 'Near 0. At 0.05, answers of 90% are right about 85 or 95 times out of 100.',
  },
  {
    name: /^coverage$/,
    what: 'The share of test pictures that are answered with a class and not with "not sure".',
    good: 'High, as long as accepted_precision is: either can be had at the price of the other.',
  },
  {
    name: /^accepted_precision$/,
    what: 'The share of right answers among the test pictures that are answered with a class.',
    good: 'Above top1, near 1: "not sure" is then said of the right pictures.',
  },
  {
    name: /^auroc$/,
    what: 'How often a picture that shows nothing like the training pictures is further from them than a test picture is.',
    good: '1 tells them apart always, 0.5 is a guess.',
  },
  {
    name: /^told$/,
    what: 'The share of pictures that show nothing like the training pictures (noise, text, plots ...) of which the page says so.',
    good: `${ONE} It counts only as far as unlike_test is small.`,
  },
  {
    name: /^unlike_test$/,
    what: 'The share of test pictures that are called unlike the training pictures: false alarms.',
    good: 'A few in 100: the limit is set for that. The lower it is, the more of what is really unlike is missed.',
  },
  {
    name: /^fd_.+_floor$/,
    what: 'The Fréchet distance of as many training pictures from the test pictures: what a perfect generator would have.',
    good: 'It is the mark at which the share of fd is 0. It depends on the data and the number of pictures alone.',
  },
  {
    name: /^kd_.+_floor$/,
    what: 'The kernel distance of as many training pictures from the test pictures: what a perfect generator would have.',
    good: 'It is the mark at which the share of kd is 0, itself about 0. It may be slightly below.',
  },
  {
    name: /^(fd|kd)_.+_noise$/,
    what: 'The distance of pictures of pure noise from the test pictures.',
    good: 'It is the mark at which the share is 1. It depends on the data and the number of pictures alone.',
  },
  {
    name: /^(fd|kd)_.+_share$/,
    what: 'Where the distance lies between its two marks: 0 is as near as training pictures are, 1 is as far as noise is.',
    good: 'Near 0. Unlike the distance itself, it can be compared between data sets.',
  },
  {
    name: /^fd_/,
    what:
      'The Fréchet distance between generated and test pictures: how far the statistics of their features in a network, ' +
      'which is named with it, are apart.',
    good:
      'Near fd_..._floor, which training pictures have. Compare it only for the same data, network and number of pictures; it is ' +
      'not the FID of papers.',
  },
  {
    name: /^kd_/,
    what:
      'The kernel distance between generated and test pictures, from the same features as fd. It does not depend on how many ' +
      'pictures there are.',
    good: 'Near 0. It may be slightly below.',
  },
  {
    name: /^precision_/,
    what: 'The share of generated pictures that lie among the test pictures, by their features: do they look real?',
    good: `${ONE} High precision with low recall: good pictures, but always alike.`,
  },
  {
    name: /^recall_/,
    what: 'The share of test pictures that lie among the generated ones, by their features: does the generator make all kinds?',
    good: `${ONE} It stays low for small generators; compare it with that of another run.`,
  },
  {
    name: /^diversity_/,
    what: 'How much generated pictures differ from each other, by their features, as a share of how much test pictures do.',
    good: 'About 1. Below: the pictures are too alike. Above: they differ in ways in which real ones do not, often by their faults.',
  },
  {
    name: /^class_agreement_of_test$/,
    what: 'The share of test pictures, in the size of generated ones, of which the classifier names the right class.',
    good: 'It is the mark for class_agreement: of real pictures the classifier is not right more often.',
  },
  {
    name: /^class_agreement$/,
    what: 'The share of generated pictures of which the classifier names the class that was asked for.',
    good: 'About class_agreement_of_test, or above. Guessing has 1 / the number of classes.',
  },
  {
    name: /^median_ratio$/,
    what:
      'The nearest ratio: the distance of generated pictures to their nearest training picture, over that of test pictures ' +
      '(medians).',
    good: 'About 1: as new as test pictures. Near 0: copies of training pictures. Far above 1: unlike any real picture.',
  },
  {
    name: /^median_(generated|test)$/,
    what: 'The distance of a picture to its nearest training picture: the median of generated, or of test, pictures.',
    good: 'Compare the two: median_ratio is the one over the other.',
  },
  {
    name: /^closer_than_p1_of_test$/,
    what: 'The share of generated pictures that are nearer to a training picture than all but one in 100 test pictures are.',
    good: 'About 0.01 or less. Much above: some are copied, if features and pixels both say so.',
  },
  {
    name: /^closer_than_p5_of_test$/,
    what: 'The share of generated pictures that are nearer to a training picture than all but five in 100 test pictures are.',
    good: 'About 0.05 or less. Much above: some are copied, if features and pixels both say so.',
  },
  {
    name: /^(fid|kid)$/,
    what: 'The Fréchet or kernel distance in the features of the Inception network, as in papers.',
    good: 'Near 0. With a few hundred pictures it is far above the values of papers, which use 50,000.',
  },
  {
    name: /^inception_score$/,
    what: 'How sure the Inception network is of its classes for each generated picture, and how much these differ.',
    good: 'At least 1. It knows objects of ImageNet, so it says little about cats alone.',
  },
  { name: /^n(_test)?$/, what: 'The number of test pictures.', good: COUNT },
  { name: /^n_accepted$/, what: 'The number of test pictures that are answered with a class.', good: 'See coverage, its share.' },
  { name: /^n_unlike$/, what: 'The number of pictures that show nothing like the training pictures.', good: COUNT },
  { name: /^n_train$/, what: 'The number of training pictures that are searched for the nearest ones.', good: COUNT },
  {
    name: /^(classifier|generator)_(test|train)$/,
    within: /^images\./,
    what: 'The number of pictures of the test or training split that the figures of the classifier or the generator are made with.',
    good: COUNT,
  },
  {
    name: /^(classifier|generator)_(test|train)_of$/,
    within: /^images\./,
    what: 'The number of pictures that this split has; of a large one a sample is measured.',
    good: COUNT,
  },
  { name: /^n_generated$/, what: 'The number of generated pictures that are measured.', good: COUNT },
  { name: /^n_real$/, what: 'The number of test pictures that generated ones are compared with.', good: COUNT },
  {
    name: /^p\d\d_ms$/,
    what: 'The time of one call in milliseconds; p50 is the median, of 100 calls p95 is exceeded by five.',
    good: 'The less the better, on the same machine alone.',
  },
  { name: /^peak_memory_mb$/, what: 'The most memory that the process had, in megabytes.', good: 'The less the better.' },
];

/** Of the figures of `evaluate`; undefined for one that is not known here, and for other groups. */
export function explain(group: string, key: string): Explanation | undefined {
  if (group !== 'evaluate') return undefined;
  const name = key.replace(/_(low|high)$/, '');
  const last = name.slice(name.lastIndexOf('.') + 1);
  const found = FAMILIES.find((family) => (family.within ? family.within.test(name) : family.name.test(last)));
  if (!found) return undefined;
  const end = /_(low|high)$/.exec(key)?.[1];
  if (!end) return { what: found.what, good: found.good };
  const which = end === 'low' ? 'lower' : 'upper';
  return {
    what: `The ${which} end of the 95% interval of: ${found.what}`,
    good: `${found.good} Where the intervals of two runs overlap, the difference may be chance.`,
  };
}
