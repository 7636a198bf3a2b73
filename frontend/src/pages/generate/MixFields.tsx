import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import IconButton from '@mui/material/IconButton';
import MenuItem from '@mui/material/MenuItem';
import Slider from '@mui/material/Slider';
import TextField from '@mui/material/TextField';
import Typography from '@mui/material/Typography';
import { percent } from '../../lib/format';
import { displayName } from '../../lib/manifest';
import { CloseIcon } from '../../ui/icons';
import type { Mix } from './settings';

interface Props {
  label: string;
  mix: Mix;
  classes: readonly string[];
  onChange: (mix: Mix) => void;
}

/** One class, or several with their shares. */
export function MixFields({ label, mix, classes, onChange }: Props) {
  const total = mix.reduce((sum, { weight }) => sum + weight, 0);
  const replace = (index: number, part: Partial<Mix[number]>) =>
    onChange(mix.map((entry, i) => (i === index ? { ...entry, ...part } : entry)));
  const unused = classes.filter((name) => !mix.some((entry) => entry.name === name));
  return (
    <Box role="group" aria-label={label}>
      {mix.map(({ name, weight }, index) => (
        <Box key={name} sx={{ mb: 1 }}>
          <Box sx={{ display: 'flex', gap: 1, alignItems: 'center' }}>
            <TextField
              select
              fullWidth
              size="small"
              label={index === 0 ? label : 'and'}
              value={name}
              onChange={(event) => replace(index, { name: event.target.value })}
            >
              {classes.map((other) => (
                <MenuItem key={other} value={other} disabled={other !== name && !unused.includes(other)}>
                  {displayName(other)}
                </MenuItem>
              ))}
            </TextField>
            {mix.length > 1 && (
              <IconButton aria-label={`Remove ${displayName(name)}`} onClick={() => onChange(mix.filter((_, i) => i !== index))}>
                <CloseIcon fontSize="small" />
              </IconButton>
            )}
          </Box>
          {mix.length > 1 && (
            <Box sx={{ display: 'flex', gap: 2, alignItems: 'center', px: 1 }}>
              <Slider
                size="small"
                min={0.05}
                max={1}
                step={0.05}
                value={weight}
                aria-label={`Share of ${displayName(name)}`}
                onChange={(_, value) => replace(index, { weight: value as number })}
              />
              <Typography variant="body2" sx={{ width: 52, textAlign: 'right', fontVariantNumeric: 'tabular-nums' }}>
                {percent(weight / total)}
              </Typography>
            </Box>
          )}
        </Box>
      ))}
      {unused.length > 0 && (
        <Button size="small" onClick={() => onChange([...mix, { name: unused[0]!, weight: mix[0]!.weight }])}>
          Mix in another class
        </Button>
      )}
    </Box>
  );
}
