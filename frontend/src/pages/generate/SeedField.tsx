import IconButton from '@mui/material/IconButton';
import InputAdornment from '@mui/material/InputAdornment';
import TextField from '@mui/material/TextField';
import { useState } from 'react';
import { MAX_SEED, randomSeed } from '../../lib/noise';
import { DiceIcon } from '../../ui/icons';
import { parseSeed } from './settings';

interface Props {
  label: string;
  seed: number;
  onChange: (seed: number) => void;
}

export function SeedField({ label, seed, onChange }: Props) {
  const [text, setText] = useState(String(seed));
  const [shown, setShown] = useState(seed);
  if (shown !== seed) {
    setShown(seed);
    if (parseSeed(text) !== seed) setText(String(seed));
  }
  const wrong = parseSeed(text) === null;
  return (
    <TextField
      fullWidth
      size="small"
      label={label}
      value={text}
      error={wrong}
      helperText={wrong ? `a whole number from 0 to ${MAX_SEED}` : undefined}
      onChange={(event) => {
        setText(event.target.value);
        const value = parseSeed(event.target.value);
        if (value !== null) onChange(value);
      }}
      slotProps={{
        htmlInput: { inputMode: 'numeric' },
        input: {
          endAdornment: (
            <InputAdornment position="end">
              <IconButton aria-label={`Random ${label.toLowerCase()}`} edge="end" onClick={() => onChange(randomSeed())}>
                <DiceIcon fontSize="small" />
              </IconButton>
            </InputAdornment>
          ),
        },
      }}
    />
  );
}
