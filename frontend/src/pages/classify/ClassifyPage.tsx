import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Typography from '@mui/material/Typography';
import { lazy, Suspense, useCallback, useEffect, useState } from 'react';
import { origin } from '../../lib/manifest';
import { Activity } from '../../ui/Activity';
import { EmptyPlace } from '../../ui/EmptyPlace';
import { ErrorNote } from '../../ui/ErrorNote';
import { useModels } from '../../ui/models';
import { Examples } from './Examples';
import { PicturePicker } from './PicturePicker';
import { useClassifications } from './useClassifications';

const Answers = lazy(() => import('./Answers'));

export default function ClassifyPage() {
  const { manifest, engine } = useModels();
  const { items, add, run, clear } = useClassifications();
  const [message, setMessage] = useState<string | null>(null);
  const waiting = items.filter((item) => !item.answer && !item.error).length;

  const accept = useCallback(
    (files: readonly { name: string; file: Blob }[], refused: string | null = null) => {
      setMessage(refused);
      add(files);
    },
    [add],
  );

  useEffect(() => {
    const onPaste = (event: ClipboardEvent) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length) accept(files.map((file) => ({ name: file.name || 'pasted picture', file })));
    };
    document.addEventListener('paste', onPaste);
    return () => document.removeEventListener('paste', onPaste);
  }, [accept]);

  const { classes, image_size } = manifest.classifier;
  return (
    <>
      <Typography variant="h1">Which breed is it?</Typography>
      <Typography color="textSecondary" sx={{ mt: 0.5, mb: 2 }}>
        A {image_size} px classifier for {classes.length} classes, {origin(manifest)}. Pictures stay on this device.
      </Typography>
      <PicturePicker onPictures={accept} />
      <Examples onPicture={accept} />
      {message && <ErrorNote message={message} onClose={() => setMessage(null)} />}
      <Activity engine={engine} busy={waiting ? `Classifying ${waiting === 1 ? 'a picture' : `${waiting} pictures`} …` : null} />
      {items.length === 0 ? (
        <EmptyPlace>
          The answer appears here: the most likely classes, how sure the model is, and which parts of the picture point to each.
        </EmptyPlace>
      ) : (
        <Suspense fallback={<Box sx={{ minHeight: 400 }} />}>
          <Answers items={items} onRetry={(item) => void run(item)} />
          <Button onClick={clear} color="inherit" sx={{ mt: 2 }}>
            Remove all
          </Button>
        </Suspense>
      )}
    </>
  );
}
