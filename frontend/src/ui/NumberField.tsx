import TextField from '@mui/material/TextField';
import { useState } from 'react';

interface Props {
  label: string;
  value: number;
  limits: readonly [number, number];
  /** Only whole numbers. */
  whole?: boolean;
  disabled?: boolean;
  onChange: (value: number) => void;
}

/** A number within limits; input counts as soon as it is valid. */
export function NumberField({ label, value, limits: [low, high], whole = false, disabled = false, onChange }: Props) {
  const [text, setText] = useState(String(value));
  const numberOf = (typed: string) => {
    const number = typed.trim() === '' ? NaN : Number(typed);
    return number >= low && number <= high && (!whole || Number.isInteger(number)) ? number : null;
  };
  const wrong = numberOf(text) === null;
  return (
    <TextField
      size="small"
      label={label}
      value={text}
      disabled={disabled}
      error={wrong}
      helperText={wrong ? `${whole ? 'a whole number, ' : ''}${low} to ${high}` : undefined}
      slotProps={{ htmlInput: { inputMode: 'decimal' } }}
      onChange={(event) => {
        setText(event.target.value);
        const number = numberOf(event.target.value);
        if (number !== null) onChange(number);
      }}
    />
  );
}
