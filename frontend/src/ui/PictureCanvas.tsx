import Box from '@mui/material/Box';
import { useEffect, useRef } from 'react';

interface Props {
  rgba: Uint8ClampedArray<ArrayBuffer>;
  size: number;
  /** '' where what is around the picture names it. */
  label: string;
  testId?: string;
}

/** A square picture of the model, as wide as its place. */
export function PictureCanvas({ rgba, size, label, testId }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    canvas.current?.getContext('2d')?.putImageData(new ImageData(rgba, size, size), 0, 0);
  }, [rgba, size]);
  return (
    <Box
      component="canvas"
      ref={canvas}
      width={size}
      height={size}
      {...(label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': true })}
      data-testid={testId}
      sx={{ width: '100%', aspectRatio: '1', display: 'block', borderRadius: 1, bgcolor: 'action.hover' }}
    />
  );
}
