import Box from '@mui/material/Box';
import Paper from '@mui/material/Paper';
import Slider from '@mui/material/Slider';
import Typography from '@mui/material/Typography';
import { useState } from 'react';
import { milliseconds, percent } from '../../lib/format';
import { displayName, generatorInfo } from '../../lib/manifest';
import { useModels } from '../../ui/models';
import { PictureCanvas } from '../../ui/PictureCanvas';
import { PictureActions } from './PictureActions';
import type { Generated, Generation } from './useGeneration';

/** The pictures as they form; a slider goes back through their steps, down to the noise at 0. */
export function Pictures({ generation }: { generation: Generation }) {
  const { manifest } = useModels();
  const { settings, pictures } = generation;
  const [step, setStep] = useState<number | null>(null);
  const reached = Math.max(...pictures.map((picture) => picture.frames.length - 1));
  const judged = pictures.filter((picture) => picture.verdict);
  const { classes } = manifest.classifier;
  const agreeing = judged.filter((picture) => agrees(picture, generation, classes));
  return (
    <>
      <Box sx={{ display: 'flex', gap: 2, alignItems: 'center', mb: 2, pr: 1 }}>
        <Typography variant="body2" component="label" id="scrubber" sx={{ whiteSpace: 'nowrap', minWidth: 104 }}>
          Step {step ?? reached} of {settings.sampler.steps}
        </Typography>
        <Slider
          size="small"
          aria-labelledby="scrubber"
          min={0}
          max={settings.sampler.steps}
          value={step ?? reached}
          onChange={(_, value) => setStep(value === settings.sampler.steps ? null : Math.min(value as number, reached))}
        />
      </Box>
      <Box
        sx={{
          display: 'grid',
          gap: 2,
          gridTemplateColumns: {
            xs: 'repeat(2, minmax(0, 1fr))',
            md: 'repeat(3, minmax(0, 1fr))',
            lg: 'repeat(4, minmax(0, 1fr))',
          },
        }}
      >
        {pictures.map((picture) => (
          <PictureCard key={picture.number} picture={picture} generation={generation} step={step} />
        ))}
      </Box>
      <Typography variant="body2" sx={{ mt: 2, minHeight: 24 }} role="status">
        {judged.length > 0 && `The classifier agrees on ${agreeing.length} of ${judged.length}.`}
      </Typography>
    </>
  );
}

/** Whether the classifier names one of the requested classes; `classes` are its own. */
function agrees(picture: Generated, { settings }: Generation, classes: readonly string[]): boolean {
  const name = picture.verdict && classes[picture.verdict.label];
  return settings.mix.some((entry) => entry.name === name);
}

function PictureCard({ picture, generation, step }: { picture: Generated; generation: Generation; step: number | null }) {
  const { manifest } = useModels();
  const { settings } = generation;
  const { image_size: size } = generatorInfo(manifest, settings.model);
  const { classes } = manifest.classifier;
  const name = settings.mix.map((entry) => displayName(entry.name)).join(' and ');
  const shown = picture.frames[Math.min(step ?? Infinity, picture.frames.length - 1)]!;
  const verdict = picture.verdict;

  return (
    <Paper variant="outlined" component="figure" sx={{ m: 0, p: 1 }}>
      <PictureCanvas rgba={shown} size={size} label={`${name}, picture ${picture.number + 1}`} testId="picture" />
      <Box component="figcaption" sx={{ mt: 1, minHeight: 84 }}>
        <Typography variant="body2" sx={{ fontWeight: 600 }} data-testid="verdict">
          {verdict
            ? `${agrees(picture, generation, classes) ? '✓' : '✗'} ${displayName(classes[verdict.label]!)} ${percent(verdict.confidence)}`
            : ' '}
        </Typography>
        <Typography variant="caption" color="textSecondary" component="p" data-testid="runs">
          {picture.done ? `${picture.done.runs} runs, ${milliseconds(picture.done.ms)}` : ' '}
        </Typography>
        <PictureActions settings={settings} picture={picture} what={`picture ${picture.number + 1}`} />
      </Box>
    </Paper>
  );
}
