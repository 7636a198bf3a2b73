import Box from '@mui/material/Box';
import Typography from '@mui/material/Typography';
import { Duel } from './Duel';
import { Measurement } from './Measurement';
import { SelfCheck } from './SelfCheck';

export default function BenchmarkPage() {
  return (
    <>
      <Typography variant="h1">How fast, and how exact?</Typography>
      <Typography color="textSecondary" sx={{ mt: 0.5, mb: 2 }}>
        Measured in this browser, on this machine, at this moment. Nothing is sent anywhere.
      </Typography>
      <Box sx={{ display: 'grid', gridTemplateColumns: 'minmax(0, 1fr)', gap: 3 }}>
        <Measurement />
        <Duel />
        <SelfCheck />
      </Box>
    </>
  );
}
