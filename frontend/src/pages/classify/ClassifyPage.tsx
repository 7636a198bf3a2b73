import Typography from '@mui/material/Typography';

export default function ClassifyPage() {
  return <Typography variant="h1">Classify</Typography>;
}
