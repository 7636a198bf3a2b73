import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Paper from '@mui/material/Paper';
import Stack from '@mui/material/Stack';
import ToggleButton from '@mui/material/ToggleButton';
import ToggleButtonGroup from '@mui/material/ToggleButtonGroup';
import Typography from '@mui/material/Typography';
import { useState } from 'react';
import { generatorInfo, generatorNames, MODEL_NAMES, type GeneratorName } from '../../lib/manifest';
import { sessionRuns } from '../../lib/sampler';
import { copyLink } from '../../lib/share';
import { useModels } from '../../ui/models';
import { SliderField } from '../../ui/SliderField';
import { MixFields } from './MixFields';
import { SeedField } from './SeedField';
import { SamplerField } from './SamplerField';
import { controlsOf, LIMITS, type Settings } from './settings';

interface Props {
  settings: Settings;
  onChange: (settings: Settings) => void;
  running: boolean;
  onRun: () => void;
  onCancel: () => void;
  link: () => string;
}

export function GenerateForm({ settings, onChange, running, onRun, onCancel, link }: Props) {
  const { manifest } = useModels();
  const models = generatorNames(manifest);
  const info = generatorInfo(manifest, settings.model);
  const { classes } = info;
  const [copied, setCopied] = useState(false);
  const change = (part: Partial<Settings>) => onChange({ ...settings, ...part });
  const { sampler, walk } = settings;
  const runs = sessionRuns(sampler) * (walk ? walk.frames : settings.count);

  const startWalk = () => {
    const other = classes.find((name) => !settings.mix.some((entry) => entry.name === name)) ?? classes[0]!;
    change({ walk: { mix: [{ name: other, weight: 1 }], seed: settings.seed, frames: 8 } });
  };
  const copy = async () => {
    if ((await copyLink(link())) === 'shown') return;
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };

  return (
    <Paper
      variant="outlined"
      component="form"
      aria-label="Settings"
      onSubmit={(event) => {
        event.preventDefault();
        onRun();
      }}
      sx={{ p: 2 }}
    >
      <Stack spacing={2}>
        <ToggleButtonGroup
          exclusive
          fullWidth
          size="small"
          color="primary"
          aria-label="What to make"
          value={walk ? 'walk' : 'pictures'}
          onChange={(_, value: string | null) => {
            if (value === 'walk' && !walk) startWalk();
            if (value === 'pictures') change({ walk: null });
          }}
        >
          <ToggleButton value="pictures">Pictures</ToggleButton>
          <ToggleButton value="walk">Latent walk</ToggleButton>
        </ToggleButtonGroup>
        {models.length > 1 && (
          <ToggleButtonGroup
            exclusive
            fullWidth
            size="small"
            aria-label="Model"
            sx={{ '& button': { px: 0.5, fontSize: '0.75rem', whiteSpace: 'nowrap' } }}
            value={settings.model}
            onChange={(_, model: GeneratorName | null) => {
              if (model) change({ model, sampler: generatorInfo(manifest, model).sampler });
            }}
          >
            {models.map((model) => (
              <ToggleButton key={model} value={model}>
                {MODEL_NAMES[model]} ({generatorInfo(manifest, model).sampler.steps} steps)
              </ToggleButton>
            ))}
          </ToggleButtonGroup>
        )}
        <MixFields
          label={walk ? 'From class' : 'Class'}
          mix={settings.mix}
          classes={classes}
          onChange={(mix) => change({ mix })}
        />
        <SeedField label={walk ? 'From seed' : 'Seed'} seed={settings.seed} onChange={(seed) => change({ seed, first: 0 })} />
        {walk && (
          <>
            <MixFields label="To class" mix={walk.mix} classes={classes} onChange={(mix) => change({ walk: { ...walk, mix } })} />
            <SeedField label="To seed" seed={walk.seed} onChange={(seed) => change({ walk: { ...walk, seed } })} />
          </>
        )}
        {controlsOf(info).map(([key, control]) => (
          <SamplerField
            key={key}
            control={control}
            value={sampler[key]}
            onChange={(value) => change({ sampler: { ...sampler, [key]: value } })}
          />
        ))}
        {info.few_step && (
          <Typography variant="body2" color="textSecondary">
            Guidance is built in: the student learned to do in a few steps what its guided teacher does in many.
          </Typography>
        )}
        {walk ? (
          <SliderField
            label="Frames"
            value={walk.frames}
            limits={LIMITS.frames}
            onChange={(frames) => change({ walk: { ...walk, frames } })}
          />
        ) : (
          <SliderField
            label="Count"
            value={settings.count}
            limits={LIMITS.count}
            onChange={(count) => change({ count, first: 0 })}
          />
        )}
        <Typography variant="body2" color="textSecondary">
          {runs} model runs
        </Typography>
        <Box sx={{ display: 'flex', gap: 1 }}>
          {running ? (
            <Button variant="contained" color="secondary" fullWidth onClick={onCancel}>
              Cancel
            </Button>
          ) : (
            <Button type="submit" variant="contained" fullWidth>
              Generate
            </Button>
          )}
          <Button variant="outlined" onClick={() => void copy()} sx={{ minWidth: 112 }}>
            {copied ? 'Copied' : 'Copy link'}
          </Button>
        </Box>
      </Stack>
    </Paper>
  );
}
