import Box from '@mui/material/Box';
import FormControlLabel from '@mui/material/FormControlLabel';
import Slider from '@mui/material/Slider';
import Switch from '@mui/material/Switch';
import TextField from '@mui/material/TextField';
import Typography from '@mui/material/Typography';
import { useId, useState } from 'react';
import { CurveFigure } from './CurveFigure';
import { NotAvailable } from './Value';
import type { ViewProps } from './view';

/** What the training runs logged: a chart for each curve, a line for each revision. */
export default function Curves({ report, revision, older }: ViewProps) {
  const id = useId();
  const [run, setRun] = useState<string>();
  const [smoothing, setSmoothing] = useState(0);
  const [logarithmic, setLogarithmic] = useState(false);
  const [all, setAll] = useState(false);
  const revisions = all ? report.revisions : older ? [revision, older] : [revision];
  const runs = [...new Set(revisions.flatMap(({ curves }) => Object.keys(curves)))].sort();
  if (runs.length === 0) return <NotAvailable />;
  const shown = run && runs.includes(run) ? run : runs[0]!;
  const names = [...new Set(revisions.flatMap(({ curves }) => Object.keys(curves[shown] ?? {})))].sort(
    (a, b) => rank(a) - rank(b) || a.localeCompare(b),
  );
  return (
    <>
      <Box sx={{ display: 'flex', flexWrap: 'wrap', columnGap: 3, rowGap: 1, alignItems: 'center' }}>
        <TextField
          select
          size="small"
          id={`${id}-run`}
          label="Training run"
          value={shown}
          onChange={(event) => setRun(event.target.value)}
          slotProps={{ select: { native: true } }}
          sx={{ minWidth: 150 }}
        >
          {runs.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </TextField>
        <Box sx={{ width: 180, px: 1 }}>
          <Typography id={`${id}-smoothing`} variant="body2">
            Smoothing {smoothing.toFixed(2)}
          </Typography>
          <Slider
            size="small"
            aria-labelledby={`${id}-smoothing`}
            min={0}
            max={0.95}
            step={0.05}
            value={smoothing}
            onChange={(_, value) => setSmoothing(value as number)}
          />
        </Box>
        <FormControlLabel
          control={<Switch checked={logarithmic} onChange={(_, checked) => setLogarithmic(checked)} />}
          label="Logarithmic"
        />
        {report.revisions.length > 2 && (
          <FormControlLabel control={<Switch checked={all} onChange={(_, checked) => setAll(checked)} />} label="All revisions" />
        )}
      </Box>
      <Box
        sx={{ display: 'grid', gridTemplateColumns: { xs: 'minmax(0, 1fr)', md: 'repeat(2, minmax(0, 1fr))' }, gap: 2, mt: 2 }}
      >
        {names.map((name) => (
          <CurveFigure key={name} run={shown} name={name} revisions={revisions} smoothing={smoothing} logarithmic={logarithmic} />
        ))}
      </Box>
    </>
  );
}

/** Results and the loss before what the optimizer did. */
function rank(name: string): number {
  if (name === 'loss') return 0;
  return name.startsWith('val') ? 1 : 2;
}
