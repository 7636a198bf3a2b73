import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Paper from '@mui/material/Paper';
import Typography from '@mui/material/Typography';
import { useState } from 'react';
import { messageOf } from '../../lib/errors';
import { Cancelled } from '../../lib/sampler';
import { Activity } from '../../ui/Activity';
import { ErrorNote } from '../../ui/ErrorNote';
import { useModels } from '../../ui/models';
import type { CheckResult } from '../../worker/protocol';

const TOLERANCE = 1e-3;

/** Whether this browser computes what the pipeline computed: its recorded run of the sampler, state by state. */
export function SelfCheck() {
  const { engine } = useModels();
  const [result, setResult] = useState<CheckResult | null>(null);
  const [running, setRunning] = useState(false);
  const [error, setError] = useState<string | null>(null);

  const run = async () => {
    setRunning(true);
    setError(null);
    setResult(null);
    try {
      setResult(await engine.call('check', { precision: 'fp32' }));
    } catch (reason) {
      if (!(reason instanceof Cancelled)) setError(messageOf(reason));
    } finally {
      setRunning(false);
    }
  };

  const largest = result && Math.max(...result.maxAbsDiff);
  return (
    <Paper variant="outlined" component="section" aria-labelledby="check-title" sx={{ p: 2 }}>
      <Typography variant="h2" id="check-title">
        The same numbers as the pipeline?
      </Typography>
      <Typography variant="body2" color="textSecondary" sx={{ mb: 2 }}>
        The pipeline recorded a run of the sampler: noise, and the state after every step. Here it is run again, in fp32.
      </Typography>
      <Button variant="contained" disabled={running} onClick={() => void run()}>
        Check
      </Button>
      {running && <Activity engine={engine} busy="Sampling …" />}
      {error && <ErrorNote message={error} onRetry={() => void run()} />}
      {result && largest !== null && (
        <Box sx={{ mt: 2 }} role="status">
          <Typography sx={{ fontWeight: 600 }} data-testid="check">
            {largest <= TOLERANCE ? '✓ Yes' : '✗ No'}: {result.maxAbsDiff.length} steps, largest difference{' '}
            {largest.toExponential(2)}
          </Typography>
          <Typography variant="body2" color="textSecondary" sx={{ overflowWrap: 'anywhere' }} data-testid="check-steps">
            {result.maxAbsDiff.map((value) => value.toExponential(1)).join(', ')}
          </Typography>
        </Box>
      )}
    </Paper>
  );
}
