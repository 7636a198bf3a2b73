import Box from '@mui/material/Box';
import ButtonBase from '@mui/material/ButtonBase';
import IconButton from '@mui/material/IconButton';
import Paper from '@mui/material/Paper';
import Slider from '@mui/material/Slider';
import Typography from '@mui/material/Typography';
import { useEffect, useState } from 'react';
import { displayName, generatorInfo } from '../../lib/manifest';
import { PauseIcon, PlayIcon } from '../../ui/icons';
import { useModels } from '../../ui/models';
import { PictureCanvas } from '../../ui/PictureCanvas';
import { PictureActions } from './PictureActions';
import type { Generation } from './useGeneration';

const FRAME_MS = 250;

/** The pictures between two classes or seeds, played back and forth. */
export function Walk({ generation }: { generation: Generation }) {
  const { manifest } = useModels();
  const [position, setPosition] = useState(0);
  const [playing, setPlaying] = useState(false);
  const { image_size: size } = generatorInfo(manifest, generation.settings.model);
  const { classes } = manifest.classifier;
  const { pictures } = generation;
  const last = pictures.length - 1;

  useEffect(() => {
    if (!playing) return;
    let direction = 1;
    const timer = setInterval(() => {
      setPosition((at) => {
        if (at >= last) direction = -1;
        if (at <= 0) direction = 1;
        return Math.min(last, Math.max(0, at + direction));
      });
    }, FRAME_MS);
    return () => clearInterval(timer);
  }, [playing, last]);

  const shown = pictures[position]!;
  const verdict = shown.verdict;
  return (
    <Paper variant="outlined" sx={{ p: 2 }}>
      <Box sx={{ maxWidth: 320, mx: 'auto' }}>
        <PictureCanvas
          rgba={shown.frames.at(-1)!}
          size={size}
          label={`Frame ${position + 1} of ${pictures.length}`}
          testId="walk"
        />
        <Typography variant="body2" sx={{ mt: 1, minHeight: 24, textAlign: 'center' }}>
          {verdict ? `The classifier says ${displayName(classes[verdict.label]!)}` : ' '}
        </Typography>
      </Box>
      <Box sx={{ display: 'flex', gap: 2, alignItems: 'center', pr: 1 }}>
        <IconButton onClick={() => setPlaying(!playing)} aria-label={playing ? 'Pause' : 'Play'}>
          {playing ? <PauseIcon /> : <PlayIcon />}
        </IconButton>
        <Slider
          size="small"
          aria-label="Frame"
          min={0}
          max={last}
          marks
          value={position}
          onChange={(_, value) => {
            setPlaying(false);
            setPosition(value as number);
          }}
        />
        <Box sx={{ flex: 'none' }}>
          <PictureActions settings={generation.settings} picture={shown} what={`frame ${position + 1}`} />
        </Box>
      </Box>
      <Box sx={{ display: 'grid', gap: 1, gridTemplateColumns: 'repeat(auto-fill, minmax(56px, 1fr))', mt: 1 }}>
        {pictures.map((picture) => (
          <ButtonBase
            key={picture.number}
            aria-label={`Show frame ${picture.number + 1}`}
            onClick={() => setPosition(picture.number)}
            sx={{ outline: picture.number === position ? 2 : 0, outlineColor: 'primary.main', borderRadius: 1, display: 'block' }}
          >
            <PictureCanvas rgba={picture.frames.at(-1)!} size={size} label="" testId="walk-frame" />
          </ButtonBase>
        ))}
      </Box>
    </Paper>
  );
}
