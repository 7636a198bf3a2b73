import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import MenuItem from '@mui/material/MenuItem';
import Paper from '@mui/material/Paper';
import Stack from '@mui/material/Stack';
import TextField from '@mui/material/TextField';
import Typography from '@mui/material/Typography';
import { lazy, Suspense, useEffect, useRef, useState } from 'react';
import { Engine } from '../../lib/engine';
import { messageOf } from '../../lib/errors';
import { bytes, save } from '../../lib/format';
import { generatorInfo, generatorNames, MODEL_NAMES, precisionsOf, type ModelName, type Precision } from '../../lib/manifest';
import { Cancelled } from '../../lib/sampler';
import { Activity } from '../../ui/Activity';
import { DeviceFields } from '../../ui/DeviceFields';
import { deviceName } from '../../ui/deviceName';
import { ErrorNote } from '../../ui/ErrorNote';
import { useModels } from '../../ui/models';
import { NumberField } from '../../ui/NumberField';
import { controlsOf, type SamplerKey } from '../generate/settings';
import { measure, type Plan, type Progress, type Report } from './measure';

const TIMED: SamplerKey[] = ['steps', 'guidance']; // they decide how long a picture takes

const ReportView = lazy(() => import('./ReportView'));

export function Measurement() {
  const { manifest, folder, engine: shared, choice, precision } = useModels();
  const generators = generatorNames(manifest);
  const int8Only = !precisionsOf(manifest).includes('fp32');
  const all: ModelName[] = ['classifier', ...generators];
  const [which, setWhich] = useState<ModelName | 'all'>('all');
  const chosen = which === 'all' ? all : [which];
  const [plan, setPlan] = useState<Omit<Plan, 'models'>>({
    choice,
    precision,
    warmup: 2,
    runs: 10,
    samplers: Object.fromEntries(generators.map((model) => [model, generatorInfo(manifest, model).sampler])),
  });
  const [engine, setEngine] = useState<Engine | null>(null);
  const [progress, setProgress] = useState<Progress | null>(null);
  const [report, setReport] = useState<Report | null>(null);
  const [error, setError] = useState<string | null>(null);
  const abort = useRef<AbortController | null>(null);
  useEffect(() => () => abort.current?.abort(), []);

  const change = (part: Partial<Plan>) => setPlan({ ...plan, ...part });
  const running = engine !== null;

  const run = async () => {
    const controller = new AbortController();
    abort.current = controller;
    const own = new Engine(plan.choice, manifest, folder); // shares no thread with the other pages
    shared.dispose();
    setEngine(own);
    setError(null);
    setReport(null);
    try {
      const response = await fetch('./examples/Bengal.jpg');
      if (!response.ok) throw new Error('The example picture could not be loaded. Check the connection and try again.');
      const picture = await response.blob();
      setReport(await measure({ ...plan, models: chosen }, own, manifest, picture, controller.signal, setProgress));
    } catch (reason) {
      if (!(reason instanceof Cancelled)) setError(messageOf(reason));
    } finally {
      own.dispose();
      setEngine(null);
      setProgress(null);
    }
  };

  return (
    <Paper variant="outlined" component="section" aria-labelledby="measure-title" sx={{ p: 2 }}>
      <Typography variant="h2" id="measure-title" sx={{ mb: 2 }}>
        Speed
      </Typography>
      <Box sx={{ display: 'grid', gap: 2, gridTemplateColumns: { xs: '1fr 1fr', md: 'repeat(4, 1fr)' }, mb: 2 }}>
        <TextField
          select
          size="small"
          label="Models"
          value={which}
          disabled={running}
          onChange={(event) => setWhich(event.target.value as ModelName | 'all')}
        >
          <MenuItem value="all">all</MenuItem>
          {all.map((model) => (
            <MenuItem key={model} value={model}>
              {MODEL_NAMES[model]}
            </MenuItem>
          ))}
        </TextField>
        <TextField
          select
          size="small"
          label="Precision"
          value={plan.precision}
          disabled={running || plan.choice.backend === 'webgpu'}
          onChange={(event) => change({ precision: event.target.value as Precision })}
        >
          <MenuItem value="int8">int8</MenuItem>
          <MenuItem value="fp32" disabled={int8Only}>
            fp32
          </MenuItem>
        </TextField>
        <Box sx={{ gridColumn: 'span 2' }}>
          <DeviceFields
            choice={plan.choice}
            disabled={running}
            int8Only={int8Only}
            onChange={(changed) => change({ choice: changed, precision: changed.backend === 'webgpu' ? 'fp32' : plan.precision })}
          />
        </Box>
      </Box>
      <Box sx={{ display: 'grid', gap: 2, gridTemplateColumns: { xs: '1fr 1fr', sm: 'repeat(3, 1fr)', md: 'repeat(5, 1fr)' } }}>
        <NumberField
          label="Warm-up"
          value={plan.warmup}
          limits={[0, 50]}
          whole
          disabled={running}
          onChange={(warmup) => change({ warmup })}
        />
        <NumberField
          label="Runs"
          value={plan.runs}
          limits={[1, 500]}
          whole
          disabled={running}
          onChange={(runs) => change({ runs })}
        />
        {generators.map((model) =>
          controlsOf(generatorInfo(manifest, model)).map(
            ([key, control]) =>
              'limits' in control &&
              TIMED.includes(key) && (
                <NumberField
                  key={`${model} ${key}`}
                  label={`${control.label}, ${MODEL_NAMES[model]}`}
                  value={plan.samplers[model]![key] as number}
                  limits={control.limits}
                  whole={control.step === 1}
                  disabled={running || !chosen.includes(model)}
                  onChange={(value) =>
                    change({ samplers: { ...plan.samplers, [model]: { ...plan.samplers[model], [key]: value } } })
                  }
                />
              ),
          ),
        )}
      </Box>
      <Stack direction="row" spacing={1} sx={{ mt: 2 }}>
        {running ? (
          <Button variant="contained" color="secondary" onClick={() => abort.current?.abort()}>
            Cancel
          </Button>
        ) : (
          <Button variant="contained" onClick={() => void run()}>
            Measure
          </Button>
        )}
        {report && (
          <Button
            variant="outlined"
            onClick={() =>
              save(new Blob([JSON.stringify(report, null, 2)], { type: 'application/json' }), 'tinycats-benchmark.json')
            }
          >
            Export JSON
          </Button>
        )}
      </Stack>
      <Activity
        engine={engine ?? shared}
        busy={progress ? `${MODEL_NAMES[progress.model]}: run ${progress.done + 1} of ${progress.of}` : null}
      />
      {error && <ErrorNote message={error} onRetry={() => void run()} />}
      {report && (
        <>
          <Suspense fallback={<Box sx={{ minHeight: 360 }} />}>
            <ReportView report={report} />
          </Suspense>
          <Typography variant="body2" color="textSecondary" data-testid="machine" sx={{ mt: 1, overflowWrap: 'anywhere' }}>
            {deviceName(report.device)}
            {report.device.adapter ? ` (${report.device.adapter})` : ''}
            {report.device.reason ? ` (${report.device.reason})` : ''}, {report.machine.cores} cores. Memory of ONNX Runtime:{' '}
            {bytes(report.runtime_memory_bytes)}, of the whole page:{' '}
            {report.memory_bytes === null ? 'not available' : bytes(report.memory_bytes)}. {report.machine.user_agent}
          </Typography>
        </>
      )}
    </Paper>
  );
}
