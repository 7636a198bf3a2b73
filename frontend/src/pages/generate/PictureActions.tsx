import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import { useState } from 'react';
import { save } from '../../lib/format';
import { displayName, generatorInfo } from '../../lib/manifest';
import { share } from '../../lib/share';
import { deviceName } from '../../ui/deviceName';
import { useEngineState, useModels } from '../../ui/models';
import { linkTo, useAddress } from './address';
import { pngOf } from './picture';
import { settingsOfOne, settingsParams, type Settings } from './settings';
import type { Generated } from './useGeneration';

const COPIED_MS = 2000;

/** Saves a finished picture, with all its settings in the file, or shares it with the link that makes it again. */
export function PictureActions({ settings, picture, what }: { settings: Settings; picture: Generated; what: string }) {
  const { manifest, precision, engine } = useModels();
  const { device } = useEngineState(engine);
  const addressOf = useAddress();
  const [copied, setCopied] = useState(false);
  const names = [...settings.mix, ...(settings.walk ? settings.walk.mix : [])].map((entry) => entry.name);

  const png = () => {
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
    return pngOf(picture.frames.at(-1)!, image_size, text);
  };
  const fileName = `${names.join('-')}-${settings.seed}-${picture.number}.png`;

  const savePng = async () => save(await png(), fileName);
  const sharePicture = async () => {
    const outcome = await share({
      file: new File([await png()], fileName, { type: 'image/png' }),
      title: `${names.map(displayName).join(' and ')}, made by ${manifest.name}`,
      url: linkTo(addressOf(settingsOfOne(settings, picture.number)), true),
    });
    if (outcome !== 'copied') return;
    setCopied(true);
    setTimeout(() => setCopied(false), COPIED_MS);
  };

  return (
    <Box sx={{ display: 'flex', flexWrap: 'wrap', '& button': { minWidth: 0, whiteSpace: 'nowrap' } }}>
      <Button size="small" disabled={!picture.done} onClick={() => void savePng()} aria-label={`Save PNG of ${what}`}>
        Save PNG
      </Button>
      <Button
        size="small"
        disabled={!picture.done}
        onClick={() => void sharePicture()}
        aria-label={copied ? `Link of ${what} copied` : `Share ${what}`}
      >
        {copied ? 'Copied' : 'Share'}
      </Button>
    </Box>
  );
}
