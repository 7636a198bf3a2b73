import Box from '@mui/material/Box';
import Typography from '@mui/material/Typography';
import { useCallback, useEffect, useRef, useState } from 'react';
import { useSearchParams } from 'react-router';
import { generatorInfo, generatorNames, origin } from '../../lib/manifest';
import { Activity } from '../../ui/Activity';
import { EmptyPlace } from '../../ui/EmptyPlace';
import { ErrorNote } from '../../ui/ErrorNote';
import { useModels } from '../../ui/models';
import { linkTo, useAddress } from './address';
import { GenerateForm } from './GenerateForm';
import { PhotoLink } from './PhotoLink';
import { Pictures } from './Pictures';
import { parseSettings, START_PARAM, type Settings } from './settings';
import { useGeneration, type Generation } from './useGeneration';
import { Walk } from './Walk';

function progressOf({ pictures, settings }: Generation): string {
  const current = pictures.find((picture) => !picture.done);
  if (!current) return 'Classifying the pictures …';
  return `Picture ${pictures.indexOf(current) + 1} of ${pictures.length}, step ${current.frames.length - 1} of ${settings.sampler.steps}`;
}

/** The settings in the browser's address, which the router learns of a moment later. */
const shownAddress = () => new URLSearchParams(location.hash.split('?')[1]).toString();

const WIDE = '@media (min-width: 760px)'; // room for two pictures next to the form

export default function GeneratePage() {
  const { manifest } = useModels();
  if (generatorNames(manifest).length) return <Generator />;
  return (
    <>
      <Typography variant="h1">New pictures</Typography>
      <Typography sx={{ mt: 2 }}>This version has no generator: it can only classify.</Typography>
    </>
  );
}

function Generator() {
  const { manifest, engine } = useModels();
  const [params, setParams] = useSearchParams();
  const address = params.toString();
  const [settings, setSettings] = useState(() => parseSettings(params, manifest));
  const [seen, setSeen] = useState(address);
  const { generation, run, cancel } = useGeneration();
  const place = useRef<HTMLDivElement>(null);
  const start = useCallback(
    (wanted: Settings) => {
      const box = place.current;
      if (box && box.getBoundingClientRect().top > 0.6 * innerHeight) box.scrollIntoView(); // below the form, as on a phone
      void run(wanted);
    },
    [run],
  );

  const addressOf = useAddress();

  if (seen !== address) {
    // another link was opened on the same page, or our own below
    setSeen(address);
    if (address && address !== addressOf(settings).toString()) setSettings(parseSettings(params, manifest));
  }
  useEffect(() => {
    // not at once: browsers limit how often an address may change, and a slider moves faster
    const timer = setTimeout(() => {
      // A link that was opened this very moment, and is not here yet, must not be replaced
      if (shownAddress() === address) setParams(addressOf(settings), { replace: true });
    }, 300);
    return () => clearTimeout(timer);
  }, [settings, address, addressOf, setParams]);

  useEffect(() => {
    // a link to a picture; the settings that are written to the address above do not have it
    const said = new URLSearchParams(address);
    if (said.has(START_PARAM)) start(parseSettings(said, manifest));
  }, [address, manifest, start]);

  const { image_size, classes, view } = generatorInfo(manifest, settings.model);
  return (
    <>
      <Typography variant="h1">New pictures</Typography>
      <Typography color="textSecondary" sx={{ mt: 0.5, mb: 1 }}>
        A {image_size} px generator {view === 'face' && 'of faces '}for {classes.length} classes, {origin(manifest)}. The same
        seed and settings give the same pixels.
      </Typography>
      <PhotoLink />
      <Box
        sx={{
          mt: 2,
          display: 'grid',
          gap: 3,
          gridTemplateColumns: 'minmax(0, 1fr)',
          alignItems: 'start',
          [WIDE]: { gridTemplateColumns: '300px minmax(0, 1fr)' },
        }}
      >
        <GenerateForm
          settings={settings}
          onChange={setSettings}
          running={generation?.running ?? false}
          onRun={() => start(settings)}
          onCancel={cancel}
          link={() => linkTo(addressOf(settings))}
        />
        <Box ref={place} sx={{ minWidth: 0, minHeight: 480, scrollMarginTop: 60 }}>
          <Activity engine={engine} busy={generation?.running ? progressOf(generation) : null} />
          {generation?.error && <ErrorNote message={generation.error} onRetry={() => void run(settings)} />}
          {generation?.cancelled && (
            <Typography role="status" sx={{ mb: 2 }}>
              Cancelled.
            </Typography>
          )}
          {generation ? (
            generation.settings.walk ? (
              <Walk generation={generation} />
            ) : (
              <Pictures generation={generation} />
            )
          ) : (
            <EmptyPlace>The pictures appear here, step by step.</EmptyPlace>
          )}
        </Box>
      </Box>
    </>
  );
}
