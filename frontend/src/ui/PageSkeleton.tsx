import Box from '@mui/material/Box';

/** Holds the place of a page while its code loads, so that nothing jumps. */
export function PageSkeleton() {
  return (
    <Box aria-busy="true" sx={{ minHeight: '80vh', '& > div': { bgcolor: 'action.hover', borderRadius: 2 } }}>
      <Box sx={{ width: 180, height: 32, mt: 0.5 }} />
      <Box sx={{ height: 320, mt: 2.5 }} />
    </Box>
  );
}
