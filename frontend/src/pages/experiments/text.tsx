import Box from '@mui/material/Box';
import { Fragment, type ReactNode } from 'react';

/** Long dotted names may break after a dot or an underscore. */
export function Breakable({ text }: { text: string }) {
  return text.split(/(?<=[._/])/).map((part, index) => (
    <Fragment key={index}>
      {index > 0 && <wbr />}
      {part}
    </Fragment>
  ));
}

/** For screen readers only. */
export function Hidden({ children }: { children: ReactNode }) {
  return (
    <Box
      component="span"
      sx={{ position: 'absolute', width: '1px', height: '1px', overflow: 'hidden', clipPath: 'inset(50%)', whiteSpace: 'nowrap' }}
    >
      {children}
    </Box>
  );
}
