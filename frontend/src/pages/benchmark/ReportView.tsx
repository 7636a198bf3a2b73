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

const HEADS = ['p50', 'p95', 'p99', 'mean', 'a second', 'sessions', 'start', 'size'];

function titleOf({ model, sampler }: ModelResult): string {
  if (!sampler) return 'Classifier: from file to answer';
  const steps = `${sampler.steps} ${sampler.steps === 1 ? 'step' : 'steps'}`;
  return `${model === 'generator_fast' ? 'Fast' : 'Teacher'}: a whole picture in ${steps}`;
}

/** Percentiles as a table, and every run as a bar. */
export default function ReportView({ report }: { report: Report }) {
  return (
    <>
      <TableContainer tabIndex={0}>
        <Table size="small" aria-label="Times">
          <TableHead>
            <TableRow>
              <TableCell>Model</TableCell>
              {HEADS.map((head) => (
                <TableCell key={head} align="right">
                  {head}
                </TableCell>
              ))}
            </TableRow>
          </TableHead>
          <TableBody>
            {report.results.map((result) => (
              <TableRow key={result.model} data-testid={`row-${result.model}`}>
                <TableCell component="th" scope="row">
                  {MODEL_NAMES[result.model]}, {result.precision}
                </TableCell>
                <TableCell align="right" sx={{ whiteSpace: 'nowrap' }}>
                  {milliseconds(result.summary_ms.p50)}
                </TableCell>
                <TableCell align="right" sx={{ whiteSpace: 'nowrap' }}>
                  {milliseconds(result.summary_ms.p95)}
                </TableCell>
                <TableCell align="right" sx={{ whiteSpace: 'nowrap' }}>
                  {milliseconds(result.summary_ms.p99)}
                </TableCell>
                <TableCell align="right" sx={{ whiteSpace: 'nowrap' }}>
                  {milliseconds(result.summary_ms.mean)}
                </TableCell>
                <TableCell align="right" sx={{ whiteSpace: 'nowrap' }}>
                  {result.images_per_second.toPrecision(3)}
                </TableCell>
                <TableCell align="right" sx={{ whiteSpace: 'nowrap' }}>
                  {result.session_runs}
                </TableCell>
                <TableCell align="right" sx={{ whiteSpace: 'nowrap' }}>
                  {milliseconds(result.load_ms)}
                </TableCell>
                <TableCell align="right" sx={{ whiteSpace: 'nowrap' }}>
                  {bytes(result.bytes)}
                </TableCell>
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
