import Paper from '@mui/material/Paper';
import Typography from '@mui/material/Typography';
import type { ReactNode } from 'react';

/** Says what will appear in an empty place. */
export function EmptyPlace({ children }: { children: ReactNode }) {
  return (
    <Paper
      variant="outlined"
      sx={{
        minHeight: { xs: 160, sm: 320 },
        display: 'grid',
        placeItems: 'center',
        borderStyle: 'dashed',
        p: 3,
        textAlign: 'center',
      }}
    >
      <Typography color="textSecondary" sx={{ maxWidth: 440, textWrap: 'balance' }}>
        {children}
      </Typography>
    </Paper>
  );
}
