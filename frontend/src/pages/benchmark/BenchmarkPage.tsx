import Box from '@mui/material/Box';
import Typography from '@mui/material/Typography';
import { generatorNames, precisionsOf } from '../../lib/manifest';
import { useModels } from '../../ui/models';
import { Duel } from './Duel';
import { Measurement } from './Measurement';
import { SelfCheck } from './SelfCheck';

export default function BenchmarkPage() {
  const { manifest } = useModels();
  const hasGenerator = generatorNames(manifest).length > 0;
  return (
    <>
      <Typography variant="h1">How fast, and how exact?</Typography>
      <Typography color="textSecondary" sx={{ mt: 0.5, mb: 2 }}>
        Measured in this browser, on this machine, at this moment. Nothing is sent anywhere.
      </Typography>
      <Box sx={{ display: 'grid', gridTemplateColumns: 'minmax(0, 1fr)', gap: 3 }}>
        <Measurement />
        {hasGenerator ? (
          <>
            <Duel />
            {precisionsOf(manifest).includes('fp32') && <SelfCheck />}
          </>
        ) : (
          <Typography color="textSecondary">This version has no generator: only its classifier can be measured.</Typography>
        )}
      </Box>
    </>
  );
}
