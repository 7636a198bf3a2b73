import Box from '@mui/material/Box';
import { useEffect, useRef } from 'react';
import type { ClassifyResult } from '../../worker/protocol';
import { heatMap } from '../../lib/classification';

interface Props {
  picture: ImageBitmap;
  side: number | string;
  label?: string;
  /** Draws the heat map of this class over the picture. */
  heat?: { result: ClassifyResult; label: number } | null;
}

/** A square picture, and which parts of it point to a class: the stronger the colour, the more. */
export function AnswerCanvas({ picture, side, label, heat }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (!context) return;
    const { width, height } = context.canvas;
    context.drawImage(picture, 0, 0, width, height);
    if (!heat) return;
    context.globalAlpha = 1;
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = 'high';
    const { seen } = heat.result;
    const [left, top] = [((1 - seen) / 2) * width, ((1 - seen) / 2) * height];
    context.drawImage(heatLayer(heat.result, heat.label), left, top, seen * width, seen * height);
  }, [picture, heat]);
  return (
    <Box
      component="canvas"
      ref={canvas}
      width={picture.width}
      height={picture.height}
      sx={{ width: side, aspectRatio: '1', borderRadius: 2, display: 'block', flex: 'none' }}
      {...(label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': true })}
    />
  );
}

function heatLayer(result: ClassifyResult, label: number): HTMLCanvasElement {
  const { width, height } = result.featureShape;
  const map = heatMap(result.head, result.features, result.featureShape, label);
  const largest = map.reduce((most, value) => Math.max(most, value), 1e-6);
  const layer = document.createElement('canvas');
  layer.width = width;
  layer.height = height;
  const pixels = new ImageData(width, height);
  map.forEach((value, place) => {
    const strength = (Math.max(0, value) / largest) ** 2; // squared, so that the picture stays visible
    pixels.data.set([255, 200 * (1 - strength), 0, 120 * strength], place * 4);
  });
  layer.getContext('2d')?.putImageData(pixels, 0, 0);
  return layer;
}
