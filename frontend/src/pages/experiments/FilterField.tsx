import TextField from '@mui/material/TextField';
import { useId } from 'react';

export function FilterField({ value, onChange }: { value: string; onChange: (words: string) => void }) {
  const id = useId();
  return (
    <TextField
      id={id}
      size="small"
      type="search"
      label="Filter by name"
      placeholder="top1"
      value={value}
      onChange={(event) => onChange(event.target.value)}
      slotProps={{ inputLabel: { shrink: true } }}
      sx={{ flex: '1 1 12rem', maxWidth: 360 }}
    />
  );
}
