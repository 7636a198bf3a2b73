import Typography from '@mui/material/Typography';

export default function BenchmarkPage() {
  return <Typography variant="h1">Benchmark</Typography>;
}
