import Typography from '@mui/material/Typography';

export default function GeneratePage() {
  return <Typography variant="h1">Generate</Typography>;
}
