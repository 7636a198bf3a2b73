import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import MenuItem from '@mui/material/MenuItem';
import Paper from '@mui/material/Paper';
import Stack from '@mui/material/Stack';
import Table from '@mui/material/Table';
import TableBody from '@mui/material/TableBody';
import TableCell from '@mui/material/TableCell';
import TableContainer from '@mui/material/TableContainer';
import TableHead from '@mui/material/TableHead';
import TableRow from '@mui/material/TableRow';
import TextField from '@mui/material/TextField';
import Typography from '@mui/material/Typography';
import { useEffect, useRef, useState } from 'react';
import { Engine } from '../../lib/engine';
import { messageOf } from '../../lib/errors';
import { bytes, milliseconds } from '../../lib/format';
import {
  displayName,
  generatorInfo,
  generatorNames,
  MODEL_NAMES,
  shortVersion,
  type GeneratorName,
  type Precision,
} from '../../lib/manifest';
import { Cancelled } from '../../lib/sampler';
import { Activity } from '../../ui/Activity';
import { ErrorNote } from '../../ui/ErrorNote';
import { useModels } from '../../ui/models';
import { PictureCanvas } from '../../ui/PictureCanvas';
import { SeedField } from '../generate/SeedField';
import { difference, fight, type Fighter } from './fight';

interface Side {
  model: GeneratorName;
  precision: Precision;
  /** Address of another published folder; empty for the page's own. */
  address: string;
}

export function Duel() {
  const { manifest, folder, choice } = useModels();
  const { classes } = generatorInfo(manifest, 'generator');
  const [sides, setSides] = useState<[Side, Side]>(
    manifest.student
      ? [
          { model: 'generator', precision: 'int8', address: '' },
          { model: 'student', precision: 'int8', address: '' },
        ]
      : [
          { model: 'generator', precision: 'fp32', address: '' },
          { model: 'generator', precision: 'int8', address: '' },
        ],
  );
  const [seed, setSeed] = useState(1);
  const [name, setName] = useState(classes[0]!);
  const [engine, setEngine] = useState<Engine | null>(null);
  const [fighters, setFighters] = useState<[Fighter, Fighter] | null>(null);
  const [error, setError] = useState<string | null>(null);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);

  const run = async () => {
    const controller = new AbortController();
    abort.current = controller;
    setError(null);
    setFighters(null);
    try {
      const one = (side: Side) =>
        fight({ ...side, folder: side.address || folder, choice, name, seed, signal: controller.signal, onEngine: setEngine });
      setFighters([await one(sides[0]), await one(sides[1])]); // in turn, so that neither slows the other down
    } catch (reason) {
      if (!(reason instanceof Cancelled)) setError(messageOf(reason));
    } finally {
      setEngine(null);
    }
  };

  return (
    <Paper variant="outlined" component="section" aria-labelledby="duel-title" sx={{ p: 2 }}>
      <Typography variant="h2" id="duel-title">
        Duel
      </Typography>
      <Typography variant="body2" color="textSecondary" sx={{ mb: 2 }}>
        The same class and seed on both sides: {manifest.student ? 'student against teacher, ' : ''}two precisions or two
        published versions, each with its published sampler settings.
      </Typography>
      <Box sx={{ display: 'grid', gap: 2, gridTemplateColumns: { xs: '1fr', sm: '1fr 1fr' } }}>
        {sides.map((side, index) => (
          <SideFields
            key={index}
            title={`Side ${'AB'[index]}`}
            side={side}
            models={generatorNames(manifest)}
            onChange={(changed) => setSides(index === 0 ? [changed, sides[1]] : [sides[0], changed])}
          />
        ))}
        <TextField select size="small" label="Class" value={name} onChange={(event) => setName(event.target.value)}>
          {classes.map((other) => (
            <MenuItem key={other} value={other}>
              {displayName(other)}
            </MenuItem>
          ))}
        </TextField>
        <SeedField label="Seed" seed={seed} onChange={setSeed} />
      </Box>
      <Box sx={{ mt: 2 }}>
        {engine ? (
          <Button variant="contained" color="secondary" onClick={() => abort.current?.abort()}>
            Cancel
          </Button>
        ) : (
          <Button variant="contained" onClick={() => void run()}>
            Compare
          </Button>
        )}
      </Box>
      {engine && <Activity engine={engine} busy="Generating …" />}
      {error && <ErrorNote message={error} onRetry={() => void run()} />}
      {fighters && <Outcome fighters={fighters} />}
    </Paper>
  );
}

interface SideFieldsProps {
  title: string;
  side: Side;
  models: GeneratorName[];
  onChange: (side: Side) => void;
}

function SideFields({ title, side, models, onChange }: SideFieldsProps) {
  return (
    <Stack spacing={1.5} role="group" aria-label={title}>
      {models.length > 1 && (
        <TextField
          select
          size="small"
          label={`${title}: model`}
          value={side.model}
          onChange={(event) => onChange({ ...side, model: event.target.value as GeneratorName })}
        >
          {models.map((model) => (
            <MenuItem key={model} value={model}>
              {MODEL_NAMES[model]}
            </MenuItem>
          ))}
        </TextField>
      )}
      <TextField
        select
        size="small"
        label={`${title}: precision`}
        value={side.precision}
        onChange={(event) => onChange({ ...side, precision: event.target.value as Precision })}
      >
        <MenuItem value="fp32">fp32</MenuItem>
        <MenuItem value="int8">int8</MenuItem>
      </TextField>
      <TextField
        size="small"
        label={`${title}: address of another version`}
        placeholder="this page's own"
        value={side.address}
        onChange={(event) => onChange({ ...side, address: event.target.value.trim() })}
        slotProps={{ inputLabel: { shrink: true } }}
      />
    </Stack>
  );
}

function Outcome({ fighters: [a, b] }: { fighters: [Fighter, Fighter] }) {
  const apart = difference(a, b);
  const figure = (value: number | null) => (value === null ? 'not available' : value.toPrecision(4));
  const rows: [string, (fighter: Fighter) => string][] = [
    ['Version', ({ manifest }) => shortVersion(manifest) ?? 'not available'],
    ['Steps', ({ steps, runs }) => (steps === runs ? String(steps) : `${steps} (${runs} model runs)`)],
    ['Size', (fighter) => bytes(fighter.bytes)],
    ['Time for the picture', (fighter) => milliseconds(fighter.ms)],
    ['Fréchet distance, as published', (fighter) => figure(fighter.fd)],
    ["Classifier's top-1, as published", (fighter) => figure(fighter.top1)],
  ];
  return (
    <Box
      data-testid="duel"
      sx={{
        mt: 2,
        display: 'grid',
        columnGap: 3,
        rowGap: 1,
        gridTemplateColumns: { xs: 'minmax(0, 1fr)', md: 'repeat(2, minmax(0, 1fr))' },
      }}
    >
      <Box
        sx={{ display: 'grid', gap: { xs: 1, sm: 2 }, gridTemplateColumns: 'repeat(3, minmax(0, 200px))', alignContent: 'start' }}
      >
        {[a, b].map((fighter, index) => (
          <Box key={index} component="figure" sx={{ m: 0 }}>
            <PictureCanvas rgba={fighter.rgba} size={fighter.size} label={`Side ${'AB'[index]}`} testId="fighter" />
            <Typography component="figcaption" variant="body2">
              {'AB'[index]}: {MODEL_NAMES[fighter.model]}, {fighter.precision}
            </Typography>
          </Box>
        ))}
        {apart && (
          <Box component="figure" sx={{ m: 0 }}>
            <PictureCanvas rgba={apart.rgba} size={a.size} label="Difference, four times as strong" />
            <Typography component="figcaption" variant="body2">
              Difference x 4; mean {apart.mean.toFixed(2)}
            </Typography>
          </Box>
        )}
      </Box>
      <TableContainer tabIndex={0}>
        <Table size="small" aria-label="Duel" sx={{ '& td, & th': { px: { xs: 0.75, sm: 2 } } }}>
          <TableHead>
            <TableRow>
              <TableCell>Metric</TableCell>
              <TableCell align="right">A</TableCell>
              <TableCell align="right">B</TableCell>
            </TableRow>
          </TableHead>
          <TableBody>
            {rows.map(([what, of]) => (
              <TableRow key={what}>
                <TableCell component="th" scope="row">
                  {what}
                </TableCell>
                <TableCell align="right">{of(a)}</TableCell>
                <TableCell align="right">{of(b)}</TableCell>
              </TableRow>
            ))}
          </TableBody>
        </Table>
      </TableContainer>
    </Box>
  );
}
