import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import ButtonBase from '@mui/material/ButtonBase';
import Typography from '@mui/material/Typography';
import { useRef } from 'react';
import { Link, Navigate, useNavigate } from 'react-router';
import { bytes, milliseconds } from '../../lib/format';
import { displayName, generatorInfo, modelFile } from '../../lib/manifest';
import { Activity } from '../../ui/Activity';
import { ErrorNote } from '../../ui/ErrorNote';
import { GenerateIcon, PictureIcon } from '../../ui/icons';
import { useModels } from '../../ui/models';
import { PictureCanvas } from '../../ui/PictureCanvas';
import { useClassifications } from '../classify/useClassifications';
import { settingsParams, START_PARAM } from '../generate/settings';
import { useFirstCats, type Cat, type FirstCats } from './useFirstCats';

/** What a first visit sees: cats that its own device makes, and what to do next. */
export default function StartPage() {
  const { manifest } = useModels();
  return manifest.student || manifest.generator ? <Start /> : <Navigate to="/classify" replace />;
}

function Start() {
  const { manifest, engine } = useModels();
  const found = useFirstCats();
  const { cats, running, error, make } = found;
  const { title, synthetic } = manifest.data;
  return (
    <>
      <Typography variant="h1">Cats that do not exist</Typography>
      <Typography color="textSecondary" sx={{ mt: 0.5, mb: 2 }}>
        Small models, trained on {title}
        {synthetic && !/synthetic/i.test(title) && ' (synthetic)'}, make them in your browser. Your pictures stay on this device.
      </Typography>
      <Box sx={{ display: 'flex', flexWrap: 'wrap', gap: 1 }}>
        <PhotoButton />
        <Button component={Link} to="/generate" variant="outlined" startIcon={<GenerateIcon />}>
          Choose a breed
        </Button>
      </Box>
      <Activity engine={engine} busy={running ? `Cat ${cats.filter(({ done }) => done).length + 1} of ${cats.length} …` : null} />
      {error && <ErrorNote message={error} onRetry={() => void make()} />}
      <Box
        component="ul"
        aria-label="Cats made on this device"
        sx={{
          listStyle: 'none',
          p: 0,
          m: 0,
          display: 'grid',
          gap: { xs: 1, sm: 2 },
          gridTemplateColumns: {
            xs: 'repeat(3, minmax(0, 1fr))',
            sm: 'repeat(4, minmax(0, 1fr))',
            md: 'repeat(6, minmax(0, 1fr))',
          },
        }}
      >
        {cats.map((cat) => (
          <li key={cat.settings.mix[0]!.name}>
            <CatTile cat={cat} />
          </li>
        ))}
      </Box>
      <Box sx={{ display: 'flex', flexWrap: 'wrap', gap: 1, alignItems: 'center', mt: 2, minHeight: { xs: 130, sm: 64 } }}>
        <Typography variant="body2" role="status" data-testid="made" sx={{ flex: '1 1 240px' }}>
          {madeText(found)}
        </Typography>
        <Button onClick={() => void make()} disabled={running} variant="outlined">
          {cats.some(({ frame }) => frame) || running ? 'Make others' : 'Make cats'}
        </Button>
      </Box>
    </>
  );

  function madeText({ firstMs, allMs }: FirstCats): string {
    if (firstMs === null || allMs === null) return running || error ? '' : `${size()} to load, once.`;
    if (running) return '';
    const count = cats.filter(({ done }) => done).length;
    return (
      `${count === 1 ? 'A cat' : `${count} cats`}, made on your device just now: the first in ${milliseconds(firstMs)}, ` +
      `all in ${milliseconds(allMs)} once the model was here. Choose one to change or share it.`
    );
  }

  function size(): string {
    const { model } = cats[0]!.settings;
    return bytes(modelFile(manifest, model, 'int8').bytes + __ORT_WASM_BYTES__);
  }
}

/** Leads to the picture alone, with its settings; it is made again there, pixel by pixel. */
function CatTile({ cat: { settings, frame, done } }: { cat: Cat }) {
  const { manifest } = useModels();
  const { image_size: size } = generatorInfo(manifest, settings.model);
  const name = displayName(settings.mix[0]!.name);
  const address = settingsParams(settings, manifest);
  address.set(START_PARAM, '1');
  return (
    <ButtonBase
      component={Link}
      to={`/generate?${address.toString()}`}
      data-testid="cat"
      data-done={done}
      sx={{
        display: 'block',
        borderRadius: 2,
        '&:focus-visible': { outline: 3, outlineColor: 'primary.main', outlineOffset: 2 },
      }}
    >
      {frame ? (
        <PictureCanvas rgba={frame} size={size} label="" />
      ) : (
        <Box sx={{ aspectRatio: '1', borderRadius: 1, bgcolor: 'action.hover' }} />
      )}
      <Typography component="span" variant="body2" noWrap sx={{ display: 'block', mt: 0.5, textAlign: 'center' }}>
        {name}
      </Typography>
    </ButtonBase>
  );
}

/** Takes the reader's pictures to the classifier. */
function PhotoButton() {
  const { add } = useClassifications();
  const navigate = useNavigate();
  const input = useRef<HTMLInputElement>(null);
  const classify = (files: FileList | null) => {
    if (!files?.length) return;
    add([...files].map((file) => ({ name: file.name, file })));
    void navigate('/classify');
  };
  return (
    <>
      <Button variant="contained" startIcon={<PictureIcon />} onClick={() => input.current?.click()}>
        Use my photo
      </Button>
      <input
        ref={input}
        type="file"
        accept="image/*"
        multiple
        hidden
        aria-label="Use my photo"
        onChange={(event) => classify(event.target.files)}
      />
    </>
  );
}
