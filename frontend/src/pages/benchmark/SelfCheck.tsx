import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Paper from '@mui/material/Paper';
import Typography from '@mui/material/Typography';
import { useState } from 'react';
import { messageOf } from '../../lib/errors';
import { generatorNames, MODEL_NAMES, type GeneratorName } from '../../lib/manifest';
import { Cancelled } from '../../lib/sampler';
import { Activity } from '../../ui/Activity';
import { ErrorNote } from '../../ui/ErrorNote';
import { useModels } from '../../ui/models';
import type { CheckResult } from '../../worker/protocol';

const TOLERANCE = 1e-3;

/** Whether this browser computes what the pipeline computed: repeats its recorded runs and compares every step. */
export function SelfCheck() {
  const { engine, manifest } = useModels();
  const [results, setResults] = useState<[GeneratorName, CheckResult][]>([]);
  const [running, setRunning] = useState(false);
  const [error, setError] = useState<string | null>(null);

  const run = async () => {
    setRunning(true);
    setError(null);
    setResults([]);
    try {
      for (const model of generatorNames(manifest)) {
        const result = await engine.call('check', { model, precision: 'fp32' });
        setResults((before) => [...before, [model, result]]);
      }
    } catch (reason) {
      if (!(reason instanceof Cancelled)) setError(messageOf(reason));
    } finally {
      setRunning(false);
    }
  };

  return (
    <Paper variant="outlined" component="section" aria-labelledby="check-title" sx={{ p: 2 }}>
      <Typography variant="h2" id="check-title">
        The same numbers as the pipeline?
      </Typography>
      <Typography variant="body2" color="textSecondary" sx={{ mb: 2 }}>
        The pipeline recorded {manifest.student ? 'a run of each generator' : 'a run of the generator'}: its noise, and the
        result of every step. This repeats it here, in fp32.
      </Typography>
      <Button variant="contained" disabled={running} onClick={() => void run()}>
        Check
      </Button>
      {running && <Activity engine={engine} busy="Sampling …" />}
      {error && <ErrorNote message={error} onRetry={() => void run()} />}
      <Box role="status">
        {results.map(([model, result]) => (
          <Outcome key={model} model={model} result={result} />
        ))}
      </Box>
    </Paper>
  );
}

function Outcome({ model, result }: { model: GeneratorName; result: CheckResult }) {
  const largest = Math.max(...result.maxAbsDiff);
  return (
    <Box sx={{ mt: 2 }} data-testid={`check-${model}`}>
      <Typography sx={{ fontWeight: 600 }}>
        {largest <= TOLERANCE ? '✓ Yes' : '✗ No'}, {MODEL_NAMES[model]}: {result.maxAbsDiff.length} steps, largest difference{' '}
        {largest.toExponential(2)}
      </Typography>
      <Typography variant="body2" color="textSecondary" sx={{ overflowWrap: 'anywhere' }} data-testid="check-steps">
        {result.maxAbsDiff.map((value) => value.toExponential(1)).join(', ')}
      </Typography>
    </Box>
  );
}
