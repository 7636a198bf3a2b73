import Box from '@mui/material/Box';
import { useEffect, useRef, useState, type ReactNode } from 'react';

interface Props {
  /** Its name for screen readers. */
  label: string;
  /** 'none': it only scrolls sideways. */
  maxHeight?: string | number;
  children: ReactNode;
}

/** A table that scrolls in its own frame, also by keyboard, with its head and first column in place. */
export function ScrollTable({ label, maxHeight = '70vh', children }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const [scrolls, setScrolls] = useState(true);
  useEffect(() => {
    const box = frame.current;
    if (!box) return;
    const measure = () => setScrolls(box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight);
    const observer = new ResizeObserver(measure); // of the frame, and of the table in it
    observer.observe(box);
    for (const child of box.children) observer.observe(child);
    return () => observer.disconnect();
  }, []);
  return (
    <Box
      ref={frame}
      role="region"
      aria-label={label}
      tabIndex={scrolls ? 0 : undefined}
      sx={{
        overflow: 'auto',
        maxHeight,
        border: 1,
        borderColor: 'divider',
        borderRadius: 1,
        bgcolor: 'background.paper',
        '& table': { borderCollapse: 'separate', borderSpacing: 0, width: '100%', fontSize: '0.875rem' },
        '& th, & td': {
          px: 1.25,
          py: 0.6,
          textAlign: 'right',
          borderBottom: '1px solid',
          borderColor: 'divider',
          fontWeight: 400,
        },
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
