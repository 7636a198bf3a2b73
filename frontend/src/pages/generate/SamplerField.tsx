import ToggleButton from '@mui/material/ToggleButton';
import ToggleButtonGroup from '@mui/material/ToggleButtonGroup';
import { SliderField } from '../../ui/SliderField';
import type { SamplerControl } from './settings';

interface Props {
  control: SamplerControl;
  value: string | number;
  onChange: (value: string | number) => void;
}

/** One of the sampler's settings: a slider for a number, buttons for a choice. */
export function SamplerField({ control, value, onChange }: Props) {
  if ('limits' in control) return <SliderField {...control} value={Number(value)} onChange={onChange} />;
  return (
    <ToggleButtonGroup
      exclusive
      fullWidth
      size="small"
      aria-label={control.label}
      value={value}
      onChange={(_, chosen: string | null) => chosen && onChange(chosen)}
    >
      {Object.entries(control.choices).map(([choice, name]) => (
        <ToggleButton key={choice} value={choice}>
          {name}
        </ToggleButton>
      ))}
    </ToggleButtonGroup>
  );
}
