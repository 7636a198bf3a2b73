import TextField from '@mui/material/TextField';
import { useState } from 'react';

interface Props {
  label: string;
  value: number;
  limits: readonly [number, number];
  disabled?: boolean;
  onChange: (value: number) => void;
}

/** A number within limits; what is typed counts as soon as it is one. */
export function NumberField({ label, value, limits: [low, high], disabled = false, onChange }: Props) {
  const [text, setText] = useState(String(value));
  const typed = text.trim() === '' ? NaN : Number(text);
  const wrong = !(typed >= low && typed <= high);
  return (
    <TextField
      size="small"
      label={label}
      value={text}
      disabled={disabled}
      error={wrong}
      helperText={wrong ? `${low} to ${high}` : undefined}
      slotProps={{ htmlInput: { inputMode: 'decimal' } }}
      onChange={(event) => {
        setText(event.target.value);
        const number = Number(event.target.value);
        if (event.target.value.trim() && number >= low && number <= high) onChange(number);
      }}
    />
  );
}
