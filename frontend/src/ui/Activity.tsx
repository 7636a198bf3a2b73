import Alert from '@mui/material/Alert';
import Box from '@mui/material/Box';
import LinearProgress from '@mui/material/LinearProgress';
import Typography from '@mui/material/Typography';
import type { Engine } from '../lib/engine';
import { bytes } from '../lib/format';
import { useEngineState } from './models';

interface Props {
  engine: Engine;
  busy: string | null;
  /** What to say when nothing is going on: two lines at most. */
  idle?: string;
}

/** Downloads in progress, in bytes, and notices. Keeps its height, so that nothing jumps. */
export function Activity({ engine, busy, idle = '' }: Props) {
  const { downloads, notices } = useEngineState(engine);
  const active = Object.values(downloads);
  const loaded = active.reduce((sum, progress) => sum + progress.loaded, 0);
  const total = active.reduce((sum, progress) => sum + progress.total, 0);
  const names = active.map(({ path, from }) => (from === 'hub' ? `${path} from the Hub` : path)).join(', ');
  return (
    <Box sx={{ minHeight: 44, my: 1 }}>
      <Box role="status" aria-live="polite">
        {active.length > 0 ? (
          <>
            <Typography variant="body2" color="textSecondary" noWrap>
              Loading {names}: {bytes(loaded)} of {bytes(total)}
            </Typography>
            <LinearProgress
              variant="determinate"
              value={(100 * loaded) / total}
              aria-label={`Download of ${names}`}
              sx={{ mt: 0.5 }}
            />
          </>
        ) : busy ? (
          <>
            <Typography variant="body2" color="textSecondary" noWrap>
              {busy}
            </Typography>
            <LinearProgress aria-label={busy} sx={{ mt: 0.5 }} />
          </>
        ) : (
          idle && <Typography variant="body2">{idle}</Typography>
        )}
      </Box>
      {notices.map((notice) => (
        <Alert key={notice} severity="warning" onClose={() => engine.dismiss(notice)} sx={{ mt: 1 }}>
          {notice}
        </Alert>
      ))}
    </Box>
  );
}
