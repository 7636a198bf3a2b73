import Alert from '@mui/material/Alert';
import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Dialog from '@mui/material/Dialog';
import DialogActions from '@mui/material/DialogActions';
import DialogContent from '@mui/material/DialogContent';
import DialogTitle from '@mui/material/DialogTitle';
import { useEffect, useRef, useState } from 'react';

function problem(error: unknown): string {
  const name = error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError') return 'Camera access was denied. Allow it in the address bar.';
  if (name === 'NotFoundError') return 'No camera was found.';
  return 'The camera could not be started; another program may be using it.';
}

export default function CameraDialog({ onPicture, onClose }: { onPicture: (file: Blob) => void; onClose: () => void }) {
  const video = useRef<HTMLVideoElement>(null);
  const [error, setError] = useState<string | null>(null);
  const [ready, setReady] = useState(false);

  useEffect(() => {
    let stream: MediaStream | null = null;
    let open = true;
    const media = navigator.mediaDevices as MediaDevices | undefined; // only on https and on this machine
    (media ? media.getUserMedia({ video: { facingMode: 'environment' } }) : Promise.reject(new Error('no media'))).then(
      (granted) => {
        stream = granted;
        if (!open) stop(granted);
        else if (video.current) video.current.srcObject = granted;
      },
      (reason: unknown) => open && setError(problem(reason)),
    );
    return () => {
      open = false;
      if (stream) stop(stream);
    };
  }, []);

  const take = () => {
    const source = video.current;
    if (!source) return;
    const canvas = document.createElement('canvas');
    canvas.width = source.videoWidth;
    canvas.height = source.videoHeight;
    canvas.getContext('2d')?.drawImage(source, 0, 0);
    canvas.toBlob((blob) => {
      if (blob) onPicture(blob);
      onClose();
    }, 'image/png');
  };

  return (
    <Dialog open onClose={onClose} fullWidth maxWidth="sm" aria-labelledby="camera-title">
      <DialogTitle id="camera-title">Camera</DialogTitle>
      <DialogContent>
        {error ? (
          <Alert severity="error">{error}</Alert>
        ) : (
          <Box
            component="video"
            ref={video}
            autoPlay
            playsInline
            muted
            onLoadedData={() => setReady(true)}
            sx={{ width: '100%', aspectRatio: '4 / 3', bgcolor: 'black', borderRadius: 2 }}
          />
        )}
      </DialogContent>
      <DialogActions>
        <Button onClick={onClose} color="inherit">
          Close
        </Button>
        <Button onClick={take} disabled={!ready} variant="contained">
          Take picture
        </Button>
      </DialogActions>
    </Dialog>
  );
}

function stop(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}
