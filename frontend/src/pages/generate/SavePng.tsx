import Button from '@mui/material/Button';
import { save } from '../../lib/format';
import { generatorInfo } from '../../lib/manifest';
import { deviceName } from '../../ui/deviceName';
import { useEngineState, useModels } from '../../ui/models';
import { pngOf } from './picture';
import { settingsParams, type Settings } from './settings';
import type { Generated } from './useGeneration';

/** Saves a finished picture, with all its settings in the file. */
export function SavePng({ settings, picture, what }: { settings: Settings; picture: Generated; what: string }) {
  const { manifest, precision, engine } = useModels();
  const { device } = useEngineState(engine);

  const savePng = async () => {
    const { image_size, few_step } = generatorInfo(manifest, settings.model);
    const made = {
      software: 'tinycats web page',
      ...Object.fromEntries(settingsParams(settings, manifest)),
      number: picture.number,
      ...(few_step ? { guidance: 'built in' } : settings.sampler),
      precision,
      device: device ? deviceName(device) : 'unknown',
      revision: manifest.revision ?? 'unknown',
    };
    const text = Object.fromEntries(Object.entries(made).map(([key, value]) => [key, String(value)]));
    const names = [...settings.mix, ...(settings.walk ? settings.walk.mix : [])].map((entry) => entry.name);
    save(await pngOf(picture.frames.at(-1)!, image_size, text), `${names.join('-')}-${settings.seed}-${picture.number}.png`);
  };

  return (
    <Button size="small" disabled={!picture.done} onClick={() => void savePng()} aria-label={`Save PNG of ${what}`}>
      Save PNG
    </Button>
  );
}
