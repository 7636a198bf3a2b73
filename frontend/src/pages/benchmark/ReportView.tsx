import Box from '@mui/material/Box';
import Table from '@mui/material/Table';
import TableBody from '@mui/material/TableBody';
import TableCell from '@mui/material/TableCell';
import TableContainer from '@mui/material/TableContainer';
import TableHead from '@mui/material/TableHead';
import TableRow from '@mui/material/TableRow';
import Typography from '@mui/material/Typography';
import { BarChart } from '@mui/x-charts/BarChart';
import { bytes, milliseconds } from '../../lib/format';
import { MODEL_NAMES } from '../../lib/manifest';
import type { ModelResult, Report } from './measure';

const ROWS: [string, string, (result: ModelResult) => string][] = [
  ['p50', 'p50', ({ summary_ms }) => milliseconds(summary_ms.p50)],
  ['p95', 'p95', ({ summary_ms }) => milliseconds(summary_ms.p95)],
  ['p99', 'p99', ({ summary_ms }) => milliseconds(summary_ms.p99)],
  ['mean', 'mean', ({ summary_ms }) => milliseconds(summary_ms.mean)],
  ['rate', 'images per second', ({ images_per_second }) => images_per_second.toPrecision(3)],
  ['runs', 'model runs', ({ session_runs }) => String(session_runs)],
  ['load', 'load time', ({ load_ms }) => milliseconds(load_ms)],
  ['size', 'size', (result) => bytes(result.bytes)],
];

function titleOf({ model, sampler }: ModelResult): string {
  if (!sampler) return 'Classifier: from file to answer';
  const steps = `${sampler.steps} ${sampler.steps === 1 ? 'step' : 'steps'}`;
  return `${MODEL_NAMES[model].replace(/^./, (letter) => letter.toUpperCase())}: a whole picture in ${steps}`;
}

/** Percentiles as a table, and every run as a bar. */
export default function ReportView({ report }: { report: Report }) {
  return (
    <>
      <TableContainer tabIndex={0}>
        <Table size="small" aria-label="Times" sx={{ maxWidth: 760, '& td, & th': { px: { xs: 0.75, sm: 2 } } }}>
          <TableHead>
            <TableRow>
              <TableCell>Metric</TableCell>
              {report.results.map(({ model, precision }) => (
                <TableCell key={model} align="right">
                  {MODEL_NAMES[model]}, {precision}
                </TableCell>
              ))}
            </TableRow>
          </TableHead>
          <TableBody>
            {ROWS.map(([id, name, of]) => (
              <TableRow key={id}>
                <TableCell component="th" scope="row">
                  {name}
                </TableCell>
                {report.results.map((result) => (
                  <TableCell
                    key={result.model}
                    align="right"
                    data-testid={`${id}-${result.model}`}
                    sx={{ whiteSpace: 'nowrap', fontVariantNumeric: 'tabular-nums' }}
                  >
                    {of(result)}
                  </TableCell>
                ))}
              </TableRow>
            ))}
          </TableBody>
        </Table>
      </TableContainer>
      <Box
        sx={{ display: 'grid', gap: 2, gridTemplateColumns: { xs: '1fr', md: `repeat(${report.results.length}, 1fr)` }, mt: 2 }}
      >
        {report.results.map((result) => (
          <Box key={result.model} component="figure" sx={{ m: 0, minWidth: 0 }}>
            <Typography component="figcaption" variant="body2" color="textSecondary">
              {titleOf(result)}, each run in ms
            </Typography>
            <BarChart
              height={220}
              skipAnimation
              hideLegend
              series={[{ data: result.samples_ms, label: 'ms', valueFormatter: (value) => milliseconds(value ?? NaN) }]}
              xAxis={[{ data: result.samples_ms.map((_, i) => i + 1), scaleType: 'band' }]}
              colors={['var(--mui-palette-primary-main)']}
              margin={{ left: 8, right: 8, top: 12, bottom: 0 }}
            />
          </Box>
        ))}
      </Box>
    </>
  );
}
