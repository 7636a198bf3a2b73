import Button from '@mui/material/Button';
import { lazy, Suspense, useContext, useState } from 'react';
import { deviceName } from './deviceName';
import { ModelsContext, useEngineState, type Models } from './models';

const DeviceDialog = lazy(() => import('./DeviceDialog'));

/** What the models run on, or that they have not started. Opens the choice. */
export function DeviceBadge() {
  const { models } = useContext(ModelsContext);
  return models && <Badge models={models} />;
}

function Badge({ models }: { models: Models }) {
  const [open, setOpen] = useState(false);
  const { device } = useEngineState(models.engine);
  const text = device ? deviceName(device) : 'Not started';
  return (
    <>
      <Button
        size="small"
        color={device?.reason ? 'warning' : 'inherit'}
        variant="outlined"
        onClick={() => setOpen(true)}
        aria-label={`Device: ${text}. Change`}
        data-testid="device"
        sx={{ whiteSpace: 'nowrap', borderColor: 'divider', minWidth: 116 }}
      >
        {text}
      </Button>
      {open && (
        <Suspense>
          <DeviceDialog models={models} onClose={() => setOpen(false)} />
        </Suspense>
      )}
    </>
  );
}
