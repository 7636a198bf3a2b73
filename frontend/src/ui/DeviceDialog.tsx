import Alert from '@mui/material/Alert';
import Button from '@mui/material/Button';
import Dialog from '@mui/material/Dialog';
import DialogActions from '@mui/material/DialogActions';
import DialogContent from '@mui/material/DialogContent';
import DialogTitle from '@mui/material/DialogTitle';
import MenuItem from '@mui/material/MenuItem';
import Stack from '@mui/material/Stack';
import TextField from '@mui/material/TextField';
import Typography from '@mui/material/Typography';
import { useEffect, useState } from 'react';
import { clearModels, storedModels, type Stored } from '../lib/download';
import { bytes } from '../lib/format';
import { generatorNames, modelFile, precisionsOf, type ModelName, type Precision } from '../lib/manifest';
import { DeviceFields } from './DeviceFields';
import { deviceName } from './deviceName';
import { useEngineState, type Models } from './models';

export default function DeviceDialog({ models, onClose }: { models: Models; onClose: () => void }) {
  const { device } = useEngineState(models.engine);
  const [choice, setChoice] = useState(models.choice);
  const [precision, setPrecision] = useState(models.precision);
  const [version, setVersion] = useState(models.version);
  const [stored, setStored] = useState<Stored | null>(null);
  useEffect(() => {
    void storedModels().then(setStored);
  }, []);
  const names: ModelName[] = ['classifier', ...generatorNames(models.manifest)];
  const available = precisionsOf(models.manifest);
  const size = (of: Precision) =>
    available.includes(of)
      ? `${bytes(names.reduce((sum, name) => sum + modelFile(models.manifest, name, of).bytes, 0))} in all`
      : 'not in this version';
  return (
    <Dialog open onClose={onClose} fullWidth maxWidth="xs" aria-labelledby="device-title">
      <DialogTitle id="device-title">Device and models</DialogTitle>
      <DialogContent>
        <Stack spacing={2}>
          <Typography variant="body2">
            Now: {device ? deviceName(device) : 'not started; the models load on first use'}
            {device?.adapter ? ` (${device.adapter})` : ''}
          </Typography>
          {models.versions.length > 1 && (
            <TextField
              select
              label="Models"
              size="small"
              value={version.name}
              onChange={(event) => setVersion(models.versions.find(({ name }) => name === event.target.value)!)}
            >
              {models.versions.map(({ name, title }) => (
                <MenuItem key={name} value={name}>
                  {title}
                </MenuItem>
              ))}
            </TextField>
          )}
          {device?.reason && <Alert severity="warning">{device.reason}</Alert>}
          <DeviceFields
            choice={choice}
            int8Only={!available.includes('fp32')}
            onChange={(changed) => {
              setChoice(changed);
              if (changed.backend === 'webgpu') setPrecision('fp32');
            }}
          />
          <TextField
            select
            label="Precision"
            size="small"
            value={precision}
            onChange={(event) => setPrecision(event.target.value as Precision)}
            helperText={choice.backend === 'webgpu' ? 'int8 does not run on WebGPU' : 'int8 is smaller and faster, fp32 is exact'}
            disabled={choice.backend === 'webgpu'}
          >
            <MenuItem value="int8">int8 ({size('int8')})</MenuItem>
            <MenuItem value="fp32" disabled={!available.includes('fp32')}>
              fp32 ({size('fp32')})
            </MenuItem>
          </TextField>
          <Stack direction="row" spacing={1} sx={{ alignItems: 'center', justifyContent: 'space-between' }}>
            <Typography variant="body2" data-testid="stored">
              {stored ? `${stored.files} files, ${bytes(stored.bytes)} stored on this device` : 'Checking …'}
            </Typography>
            <Button size="small" disabled={!stored?.files} onClick={() => void clearModels().then(storedModels).then(setStored)}>
              Clear
            </Button>
          </Stack>
        </Stack>
      </DialogContent>
      <DialogActions>
        <Button onClick={onClose} color="inherit">
          Cancel
        </Button>
        <Button
          onClick={() => {
            models.choose(choice, precision, version);
            onClose();
          }}
        >
          Use
        </Button>
      </DialogActions>
    </Dialog>
  );
}
