import Typography from '@mui/material/Typography';

export default function ExperimentsPage() {
  return <Typography variant="h1">Experiments</Typography>;
}
