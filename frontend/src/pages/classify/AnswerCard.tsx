import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import ButtonBase from '@mui/material/ButtonBase';
import Chip from '@mui/material/Chip';
import FormControlLabel from '@mui/material/FormControlLabel';
import Paper from '@mui/material/Paper';
import Switch from '@mui/material/Switch';
import Typography from '@mui/material/Typography';
import { useEffect, useMemo, useRef, useState } from 'react';
import { Link } from 'react-router';
import { milliseconds, percent } from '../../lib/format';
import { displayName, generatorInfo, generatorNames } from '../../lib/manifest';
import { randomSeed } from '../../lib/noise';
import { GenerateIcon } from '../../ui/icons';
import { useModels } from '../../ui/models';
import { AnswerCanvas } from './AnswerCanvas';
import type { Answer } from './items';
import { answerText, verdictOf } from './verdict';

const SHOWN = 5;

function distanceText(distance: number | null, limit: number | null | undefined): string {
  if (distance === null) return 'distance: not available';
  return `distance ${distance.toFixed(2)}, limit${limit == null ? ': not available' : ` ${limit.toFixed(2)}`}`;
}

export function AnswerCard({ name, answer }: { name: string; answer: Answer }) {
  const { manifest } = useModels();
  const [showHeat, setShowHeat] = useState(true);
  const [label, setLabel] = useState(answer.ranking[0]!.label);
  const { classes, reject_threshold: threshold, distance_limit: limit, temperature } = manifest.classifier;
  const heat = useMemo(() => (showHeat ? { result: answer, label } : null), [showHeat, answer, label]);
  return (
    <Paper
      variant="outlined"
      component="section"
      aria-label={`Answer for ${name}`}
      sx={{ p: 2, display: 'grid', gap: 3, gridTemplateColumns: { xs: '1fr', sm: '260px 1fr' } }}
    >
      <Box>
        <AnswerCanvas
          picture={answer.thumbnail}
          side="100%"
          heat={heat}
          label={`${name}${showHeat ? `, with the heat map of ${displayName(classes[label]!)}` : ''}`}
        />
        <FormControlLabel
          control={<Switch size="small" checked={showHeat} onChange={(_, on) => setShowHeat(on)} />}
          label={<Typography variant="body2">Heat map: {displayName(classes[label]!)}</Typography>}
          sx={{ mt: 1 }}
        />
      </Box>
      <Box sx={{ minWidth: 0 }}>
        <Typography variant="h2" data-testid="answer">
          {answerText(answer, manifest.classifier)}
        </Typography>
        <Typography variant="body2" color="textSecondary" noWrap>
          {name}
        </Typography>
        {verdictOf(answer, manifest.classifier) === 'unlike' && (
          <Typography variant="body2" sx={{ mt: 1 }}>
            The model was trained on nothing like this picture: the classes below mean little.
          </Typography>
        )}
        <Box component="ol" aria-label="Most likely classes" sx={{ listStyle: 'none', p: 0, my: 2, display: 'grid', gap: 0.75 }}>
          {answer.ranking.slice(0, SHOWN).map((entry) => (
            <li key={entry.label}>
              <Bar
                name={displayName(classes[entry.label]!)}
                confidence={entry.confidence}
                chosen={entry.label === label}
                onChoose={() => setLabel(entry.label)}
              />
            </li>
          ))}
        </Box>
        <NewPictures name={classes[label]!} />
        <Box sx={{ display: 'flex', gap: 1, flexWrap: 'wrap', alignItems: 'center' }}>
          <Chip size="small" label={milliseconds(answer.answerMs)} />
          <Chip size="small" variant="outlined" label={temperature ? 'calibrated' : 'calibration: not available'} />
          <Chip
            size="small"
            variant="outlined"
            label={threshold == null ? '“not sure” threshold: not available' : `“not sure” below ${percent(threshold)}`}
          />
          <Chip size="small" variant="outlined" label={distanceText(answer.distance, limit)} />
        </Box>
        <Box sx={{ display: 'flex', gap: 1, alignItems: 'center', mt: 2 }}>
          <ModelInput answer={answer} />
          <Typography variant="body2" color="textSecondary">
            What the model sees: {answer.size} x {answer.size} pixels
          </Typography>
        </Box>
      </Box>
    </Paper>
  );
}

/** To new pictures of the chosen class, which are made at once. */
function NewPictures({ name }: { name: string }) {
  const { manifest } = useModels();
  const [seed] = useState(randomSeed);
  const model = generatorNames(manifest)[0];
  if (!model || !generatorInfo(manifest, model).classes.includes(name)) return null;
  const settings = new URLSearchParams({ class: name, seed: String(seed), start: '1' });
  return (
    <Button
      component={Link}
      to={`/generate?${settings.toString()}`}
      variant="contained"
      startIcon={<GenerateIcon />}
      sx={{ mb: 2 }}
    >
      Make a new {displayName(name)}
    </Button>
  );
}

function Bar({
  name,
  confidence,
  chosen,
  onChoose,
}: {
  name: string;
  confidence: number;
  chosen: boolean;
  onChoose: () => void;
}) {
  return (
    <ButtonBase
      onClick={onChoose}
      aria-pressed={chosen}
      title="Show its heat map"
      sx={{
        width: '100%',
        display: 'block',
        textAlign: 'left',
        borderRadius: 1,
        '&:focus-visible': { outline: 2, outlineColor: 'primary.main' },
      }}
    >
      <Box sx={{ display: 'flex', justifyContent: 'space-between', fontSize: '0.9rem', fontWeight: chosen ? 700 : 400 }}>
        <span>{name}</span>
        <Box component="span" sx={{ fontVariantNumeric: 'tabular-nums' }}>
          {percent(confidence)}
        </Box>
      </Box>
      <Box sx={{ height: 8, borderRadius: 4, bgcolor: 'action.hover', overflow: 'hidden' }}>
        <Box
          sx={{
            height: '100%',
            width: `${confidence * 100}%`,
            minWidth: 2,
            borderRadius: 4,
            bgcolor: chosen ? 'primary.main' : 'text.disabled',
          }}
        />
      </Box>
    </ButtonBase>
  );
}

function ModelInput({ answer }: { answer: Answer }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const pixels = new ImageData(answer.size, answer.size);
    for (let i = 0; i < answer.size ** 2; i++) {
      pixels.data.set(answer.input.subarray(i * 3, i * 3 + 3), i * 4);
      pixels.data[i * 4 + 3] = 255;
    }
    canvas.current?.getContext('2d')?.putImageData(pixels, 0, 0);
  }, [answer]);
  return (
    <Box
      component="canvas"
      ref={canvas}
      width={answer.size}
      height={answer.size}
      role="img"
      aria-label="What the model sees"
      data-testid="model-input"
      sx={{ width: 64, height: 64, imageRendering: 'pixelated', borderRadius: 1 }}
    />
  );
}
