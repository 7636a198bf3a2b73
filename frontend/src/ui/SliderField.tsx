import Box from '@mui/material/Box';
import Slider from '@mui/material/Slider';
import Typography from '@mui/material/Typography';

interface Props {
  label: string;
  value: number;
  limits: readonly [number, number];
  step?: number;
  disabled?: boolean;
  onChange: (value: number) => void;
}

export function SliderField({ label, value, limits: [min, max], step = 1, disabled = false, onChange }: Props) {
  return (
    <Box>
      <Box sx={{ display: 'flex', justifyContent: 'space-between' }}>
        <Typography variant="body2">{label}</Typography>
        <Typography variant="body2" sx={{ fontVariantNumeric: 'tabular-nums', fontWeight: 600 }}>
          {value}
        </Typography>
      </Box>
      <Box sx={{ px: 1 }}>
        <Slider
          size="small"
          aria-label={label}
          value={value}
          min={min}
          max={max}
          step={step}
          disabled={disabled}
          onChange={(_, changed) => onChange(changed as number)}
        />
      </Box>
    </Box>
  );
}
