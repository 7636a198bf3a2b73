import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import ButtonBase from '@mui/material/ButtonBase';
import Typography from '@mui/material/Typography';
import { memo, useRef } from 'react';
import { Link, Navigate, useNavigate } from 'react-router';
import { bytes } from '../../lib/format';
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
  const { title, synthetic } = useModels().manifest.data;
  return (
    <>
      <Typography variant="h1">Cats that do not exist</Typography>
      <Typography color="textSecondary" sx={{ mt: 0.5, mb: 2 }}>
        Small models, trained on {title}
        {synthetic && !/synthetic/i.test(title) && ' (synthetic)'}, make them in your browser. Your pictures stay on this device.
      </Typography>
      <Box sx={{ display: 'flex', flexWrap: 'wrap', gap: 1, '& > .MuiButton-root': { px: { xs: 1.5, sm: 2 } } }}>
        <PhotoButton />
        <Button component={Link} to="/generate" variant="outlined" startIcon={<GenerateIcon />}>
          Choose a breed
        </Button>
      </Box>
      <Cats />
    </>
  );
}

/** Apart from the rest, which need not be drawn again at each step. */
function Cats() {
  const { manifest, engine } = useModels();
  const found = useFirstCats();
  const { cats, running, error, make } = found;
  return (
    <>
      <Activity
        engine={engine}
        busy={running ? `Cat ${cats.filter(({ done }) => done).length + 1} of ${cats.length} …` : null}
        idle={madeText(found)}
      />
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
      <Box sx={{ display: 'flex', flexWrap: 'wrap', columnGap: 2, rowGap: 1, alignItems: 'center', mt: 2 }}>
        <Button onClick={() => void make()} disabled={running} variant="outlined">
          {cats.some(({ frame }) => frame) || running ? 'Make others' : 'Make cats'}
        </Button>
        <Typography variant="body2" color="textSecondary">
          Choose one to change or share it.
        </Typography>
      </Box>
    </>
  );

  function madeText({ firstMs, allMs }: FirstCats): string {
    if (firstMs === null || allMs === null) return running || error ? '' : `${size()} to load, once.`;
    if (running) return '';
    const count = cats.filter(({ done }) => done).length;
    const all = `${count === 1 ? 'a cat' : `${count} cats`} in ${seconds(allMs)}`;
    return `Made on your device just now: ${all}${count > 1 ? `, the first in ${seconds(firstMs)}` : ''}.`;
  }

  function size(): string {
    const { model } = cats[0]!.settings;
    return bytes(modelFile(manifest, model, 'int8').bytes + __ORT_WASM_BYTES__);
  }
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

/** Leads to the picture alone, with its settings; it is made again there, pixel by pixel. */
const CatTile = memo(function CatTile({ cat: { settings, frame, done } }: { cat: Cat }) {
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
      <Typography
        component="span"
        variant="body2"
        noWrap
        sx={{ display: 'block', mt: 0.5, textAlign: 'center', fontSize: { xs: '0.75rem', sm: '0.875rem' } }}
      >
        {name}
      </Typography>
    </ButtonBase>
  );
});

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
