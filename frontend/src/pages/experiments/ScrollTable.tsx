import Box from '@mui/material/Box';
import type { ReactNode } from 'react';

/** A table that scrolls in its own frame, with its head and first column in place. The keyboard can scroll it too. */
export function ScrollTable({ label, children, maxHeight = '70vh' }: { label: string; children: ReactNode; maxHeight?: string | number }) {
  return (
    <Box
      role="region"
      aria-label={label}
      tabIndex={0}
      sx={{
        overflow: 'auto',
        maxHeight,
        border: 1,
        borderColor: 'divider',
        borderRadius: 1,
        bgcolor: 'background.paper',
        '& table': { borderCollapse: 'separate', borderSpacing: 0, width: '100%', fontSize: '0.875rem' },
        '& th, & td': { px: 1.25, py: 0.6, textAlign: 'right', borderBottom: '1px solid', borderColor: 'divider', fontWeight: 400 },
        '& th': { textAlign: 'left', bgcolor: 'background.paper' },
        '& thead th': { position: 'sticky', top: 0, zIndex: 2, verticalAlign: 'bottom', fontWeight: 650 },
        '& thead th:not(:first-of-type)': { textAlign: 'right' },
        '& tr > th:first-of-type': { position: 'sticky', left: 0, zIndex: 1 },
        '& thead tr > th:first-of-type': { zIndex: 3 },
        '& tbody:last-child tr:last-child > *': { borderBottom: 0 },
      }}
    >
      {children}
    </Box>
  );
}
