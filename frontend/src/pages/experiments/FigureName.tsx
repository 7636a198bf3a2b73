import Box from '@mui/material/Box';
import ButtonBase from '@mui/material/ButtonBase';
import Popover from '@mui/material/Popover';
import Typography from '@mui/material/Typography';
import { useId, useState } from 'react';
import { explain } from './explanations';
import type { Better } from './report';
import { Breakable } from './text';

const DIRECTIONS: Record<Better, string> = {
  higher: 'More is better.',
  lower: 'Less is better.',
};

/** The name of a figure; where it is explained, a button that shows what it is and which values are good. */
export function FigureName({ group, name, better }: { group: string; name: string; better?: Better }) {
  const [anchor, setAnchor] = useState<HTMLElement | null>(null);
  const id = useId();
  const explanation = explain(group, name);
  if (!explanation) return <Breakable text={name} />;
  return (
    <>
      <ButtonBase
        aria-haspopup="dialog"
        aria-expanded={Boolean(anchor)}
        onClick={(event) => setAnchor(event.currentTarget)}
        sx={{
          display: 'inline',
          font: 'inherit',
          textAlign: 'left',
          verticalAlign: 'baseline',
          userSelect: 'text',
          textDecoration: 'underline dotted',
          textUnderlineOffset: '0.2em',
          '&:focus-visible': { outline: 2, outlineColor: 'primary.main', outlineOffset: 2 },
        }}
      >
        <Breakable text={name} />
      </ButtonBase>
      {anchor && (
        <Popover
          open
          anchorEl={anchor}
          onClose={() => setAnchor(null)}
          anchorOrigin={{ vertical: 'bottom', horizontal: 'left' }}
          slotProps={{
            paper: { role: 'dialog', 'aria-labelledby': id, elevation: 4, sx: { border: 1, borderColor: 'divider' } },
          }}
        >
          <Box sx={{ p: 2, maxWidth: 380 }}>
            <Typography id={id} variant="h3" sx={{ mb: 1, overflowWrap: 'anywhere' }}>
              <Breakable text={name} />
            </Typography>
            <Typography variant="body2">{explanation.what}</Typography>
            <Typography variant="body2" sx={{ mt: 1, fontWeight: 600 }}>
              {better ? DIRECTIONS[better] : 'Neither more nor less is better as such.'}
            </Typography>
            <Typography variant="body2" sx={{ mt: 1 }}>
              {explanation.good}
            </Typography>
          </Box>
        </Popover>
      )}
    </>
  );
}
