import Box from '@mui/material/Box';
import Slider from '@mui/material/Slider';
import Typography from '@mui/material/Typography';
import { useEffect, useId, useState } from 'react';
import { formatNumber } from './numbers';
import { pictureUrl, revisionId, revisionTitle, type Picture, type Revision } from './report';
import { NotAvailable } from './Value';
import type { ViewProps } from './view';

/** In this order; any others come after them. */
const TITLES: Record<string, string> = {
  'generator/samples': 'Samples during generator training',
  'distill/samples': 'Samples during student training',
  'evaluate/student': 'Samples of the finished student',
  'evaluate/samples': 'Samples of the finished generator',
  'evaluate/few_steps': 'The same noise through teacher and student, in fewer and fewer steps',
  'evaluate/nearest': 'Generated pictures next to their nearest training pictures',
  'evaluate/mistakes': 'Worst mistakes of the classifier',
  'data/pairs': 'Near-duplicates in the data',
  'data/faces': 'Faces, a row a class',
  'data/doubtful': 'The least sure of the faces, then the surest squares that were refused',
  'data/suspects': 'Labels that are likely wrong, the surest first',
  'data/outliers': 'Pictures unlike the rest of their class',
  'classifier/confusion_val': 'Classifier: confusion on the validation pictures',
};

/** Up to this many steps are labelled on the slider. */
const LABELS = 5;

/** Pictures of a revision and the one it is compared with: those of training steps first, with a slider. */
export function Pictures({ revision, older }: ViewProps) {
  const pair = older ? [revision, older] : [revision];
  const all = pair.flatMap(({ images }) => images);
  // a confusion matrix that exists as data is drawn in its own view
  const drawn = new Set(pair.flatMap(({ confusion }) => Object.keys(confusion).map((run) => `${run}/confusion`)));
  const stepped = [...new Set(all.filter(({ step }) => step !== undefined).map(({ series }) => series))].sort(byTitle);
  const plain = [
    ...new Set(all.filter(({ series, step }) => step === undefined && !drawn.has(series)).map(({ series }) => series)),
  ].sort(byTitle);
  if (stepped.length + plain.length === 0) return <NotAvailable />;
  return (
    <>
      {stepped.map((series) => (
        <SteppedSeries key={series} series={series} pair={pair} />
      ))}
      {plain.map((series) => (
        <Series key={series} series={series} pair={pair} />
      ))}
    </>
  );
}

function SteppedSeries({ series, pair }: { series: string; pair: Revision[] }) {
  const id = useId();
  const pictures = pair.flatMap(({ images }) => images.filter((image) => image.series === series && image.step !== undefined));
  const steps = [...new Set(pictures.map(({ step }) => step!))].sort((a, b) => a - b);
  // of the revision itself: the other one may have trained longer
  const last = steps.findLast((step) => pair[0]!.images.some((image) => image.series === series && image.step === step));
  const [chosen, setChosen] = useState<number>();
  const step = chosen !== undefined && steps.includes(chosen) ? chosen : (last ?? steps.at(-1)!);
  const urls = pictures.map(pictureUrl).join(' ');
  useEffect(() => {
    for (const url of urls.split(' ')) new Image().src = url; // moving the slider shows them at once
  }, [urls]);
  return (
    <Box component="section" sx={{ mb: 4 }}>
      <Typography variant="h2">{titleOf(series)}</Typography>
      <Box sx={{ maxWidth: 560, px: 1.5, mt: 1 }}>
        <Typography id={id} variant="body2">
          Training step{' '}
          <Box component="data" value={step} sx={{ fontVariantNumeric: 'tabular-nums', fontWeight: 650 }}>
            {formatNumber(step)}
          </Box>
        </Typography>
        <Slider
          aria-labelledby={id}
          value={steps.indexOf(step)}
          max={steps.length - 1}
          marks={steps.map((value, index) => ({ value: index, label: steps.length <= LABELS ? formatNumber(value) : undefined }))}
          disabled={steps.length < 2}
          getAriaValueText={(index) => `step ${steps[index]}`}
          onChange={(_, index) => setChosen(steps[index as number])}
        />
      </Box>
      <Side pair={pair} series={series} step={step} />
    </Box>
  );
}

function Series({ series, pair }: { series: string; pair: Revision[] }) {
  return (
    <Box component="section" sx={{ mb: 4 }}>
      <Typography variant="h2" sx={{ mb: 1 }}>
        {titleOf(series)}
      </Typography>
      <Side pair={pair} series={series} />
    </Box>
  );
}

/** The picture of each revision, side by side if there is room. */
function Side({ pair, series, step }: { pair: Revision[]; series: string; step?: number }) {
  const found = pair.map(({ images }) => images.find((image) => image.series === series && image.step === step));
  return (
    <Box
      sx={{
        display: 'grid',
        // no further apart than the pictures are wide
        gridTemplateColumns: { xs: 'minmax(0, 1fr)', sm: `repeat(${pair.length}, minmax(0, max-content))` },
        gap: 2,
      }}
    >
      {pair.map((revision, index) => (
        <Box component="figure" key={revisionId(revision)} data-revision={revisionId(revision)} sx={{ m: 0 }}>
          <Typography component="figcaption" variant="body2" sx={{ mb: 0.5, overflowWrap: 'anywhere' }}>
            {revisionTitle(revision)}
          </Typography>
          <Framed picture={found[index]} like={found.find(Boolean)} alt={altOf(series, revision, step)} />
        </Box>
      ))}
    </Box>
  );
}

/** Without a picture, keeps the space that `like` takes. */
function Framed({ picture, like, alt }: { picture?: Picture; like?: Picture; alt: string }) {
  if (!picture) {
    return (
      <Box
        sx={{
          maxWidth: like?.width,
          aspectRatio: like && `${like.width} / ${like.height}`,
          border: '1px dashed',
          borderColor: 'divider',
          borderRadius: 1,
          p: 2,
        }}
      >
        <NotAvailable />
      </Box>
    );
  }
  return (
    <Box
      component="img"
      src={pictureUrl(picture)}
      alt={alt}
      width={picture.width}
      height={picture.height}
      sx={{ display: 'block', maxWidth: 1, height: 'auto', borderRadius: 1, bgcolor: '#fff' }}
    />
  );
}

function byTitle(a: string, b: string): number {
  const known = Object.keys(TITLES);
  const [first, second] = [a, b].map((series) => (known.includes(series) ? known.indexOf(series) : known.length));
  return first! - second! || a.localeCompare(b);
}

function titleOf(series: string): string {
  return TITLES[series] ?? series.replaceAll('/', ': ').replaceAll('_', ' ');
}

function altOf(series: string, revision: Revision, step?: number): string {
  return `${titleOf(series)}, ${revisionTitle(revision)}${step === undefined ? '' : `, step ${step}`}`;
}
