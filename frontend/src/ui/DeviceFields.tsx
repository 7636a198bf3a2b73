import MenuItem from '@mui/material/MenuItem';
import Stack from '@mui/material/Stack';
import TextField from '@mui/material/TextField';
import { useEffect, useState } from 'react';
import { findAdapter } from '../worker/adapter';
import type { Backend, DeviceChoice } from '../worker/protocol';
import { maxThreads } from './models';

interface Props {
  choice: DeviceChoice;
  onChange: (choice: DeviceChoice) => void;
  disabled?: boolean;
  /** The models have no precision that runs on WebGPU. */
  int8Only: boolean;
}

/** Backend and threads; WebGPU can be chosen only with a real adapter. */
export function DeviceFields({ choice, onChange, disabled = false, int8Only }: Props) {
  const [gpu, setGpu] = useState<string | null>(null);
  useEffect(() => {
    void findAdapter().then((found) => setGpu('adapter' in found ? found.adapter : null));
  }, []);
  const threads = maxThreads();
  return (
    <Stack direction="row" spacing={1}>
      <TextField
        select
        fullWidth
        label="Backend"
        size="small"
        value={choice.backend}
        disabled={disabled}
        onChange={(event) => onChange({ ...choice, backend: event.target.value as Backend })}
        helperText={int8Only ? 'int8 does not run on WebGPU' : (gpu ?? 'no WebGPU adapter')}
      >
        <MenuItem value="wasm">WASM</MenuItem>
        <MenuItem value="webgpu" disabled={!gpu || int8Only}>
          WebGPU
        </MenuItem>
      </TextField>
      <TextField
        select
        fullWidth
        label="Threads"
        size="small"
        value={Math.min(choice.threads, threads)}
        disabled={disabled || choice.backend === 'webgpu'}
        onChange={(event) => onChange({ ...choice, threads: Number(event.target.value) })}
        helperText={self.crossOriginIsolated ? `${navigator.hardwareConcurrency} cores` : 'only one: not isolated'}
      >
        {Array.from({ length: threads }, (_, i) => (
          <MenuItem key={i} value={i + 1}>
            {i + 1}
          </MenuItem>
        ))}
      </TextField>
    </Stack>
  );
}
