import Box from '@mui/material/Box';
import Skeleton from '@mui/material/Skeleton';

/** Holds the place of a page while its code loads, so that nothing jumps. */
export function PageSkeleton() {
  return (
    <Box aria-busy="true" sx={{ minHeight: '80vh' }}>
      <Skeleton variant="text" width={180} height={40} />
      <Skeleton variant="rounded" height={320} sx={{ mt: 2 }} />
    </Box>
  );
}
