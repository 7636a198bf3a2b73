import Box from '@mui/material/Box';
import { formatValue } from './numbers';
import type { Value } from './report';

/** A value as the pipeline wrote it: rounded for the eye, exact in `value` and in the tooltip. */
export function ValueText({ value }: { value: Value | undefined }) {
  if (value === undefined) return <NotAvailable />;
  const exact = typeof value === 'string' ? value : JSON.stringify(value);
  return (
    <Box
      component="data"
      value={exact}
      title={exact}
      sx={{
        fontVariantNumeric: 'tabular-nums',
        ...(typeof value === 'number'
          ? { whiteSpace: 'nowrap' }
          : {
              display: 'inline-block',
              maxWidth: '16rem',
              overflow: 'hidden',
              textOverflow: 'ellipsis',
              whiteSpace: 'nowrap',
              verticalAlign: 'bottom',
            }),
      }}
    >
      {formatValue(value)}
    </Box>
  );
}

export function NotAvailable() {
  return (
    <Box component="span" sx={{ color: 'text.secondary', fontStyle: 'italic', fontSize: '0.75rem', whiteSpace: 'nowrap' }}>
      not available
    </Box>
  );
}
