import Button from '@mui/material/Button';
import { save } from '../../lib/format';
import { generatorInfo } from '../../lib/manifest';
import { deviceName } from '../../ui/deviceName';
import { useEngineState, useModels } from '../../ui/models';
import { pngOf } from './picture';
import { samplerOf, settingsParams, type Settings } from './settings';
import type { Generated } from './useGeneration';

/** Saves a finished picture, with all that made it in the file. */
export function SavePng({ settings, picture, what }: { settings: Settings; picture: Generated; what: string }) {
  const { manifest, precision, engine } = useModels();
  const { device } = useEngineState(engine);

  const savePng = async () => {
    const { guidance_low, guidance_high, few_step } = samplerOf(settings, manifest);
    const guidance: Record<string, string> = few_step
      ? { guidance: 'built in' }
      : { guidance_low: String(guidance_low), guidance_high: String(guidance_high) };
    const text = {
      software: 'tinycats web page',
      ...Object.fromEntries(settingsParams(settings)),
      number: String(picture.number),
      ...guidance,
      precision,
      device: device ? deviceName(device) : 'unknown',
      revision: manifest.revision ?? 'unknown',
    };
    const names = [...settings.mix, ...(settings.walk ? settings.walk.mix : [])].map((entry) => entry.name);
    const { image_size } = generatorInfo(manifest, settings.model);
    save(await pngOf(picture.frames.at(-1)!, image_size, text), `${names.join('-')}-${settings.seed}-${picture.number}.png`);
  };

  return (
    <Button size="small" disabled={!picture.done} onClick={() => void savePng()} aria-label={`Save PNG of ${what}`}>
      Save PNG
    </Button>
  );
}
