import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Typography from '@mui/material/Typography';
import { lazy, Suspense, useState } from 'react';
import { useDropzone, type FileRejection } from 'react-dropzone';
import { bytes } from '../../lib/format';
import { CameraIcon, PictureIcon } from '../../ui/icons';
import { MAX_BYTES } from './useClassifications';

const CameraDialog = lazy(() => import('./CameraDialog'));

interface Props {
  onPictures: (files: readonly { name: string; file: Blob }[], refused: string | null) => void;
}

function refusal({ file, errors }: FileRejection): string {
  if (errors.some(({ code }) => code === 'file-too-large')) {
    return `${file.name} is too large: ${bytes(file.size)}; the limit is ${bytes(MAX_BYTES)}.`;
  }
  return `${file.name} is not a picture; use JPEG, PNG, WebP or GIF.`;
}

/** Drop, choose, paste or photograph. */
export function PicturePicker({ onPictures }: Props) {
  const [camera, setCamera] = useState(false);
  const { getRootProps, getInputProps, isDragActive, open } = useDropzone({
    accept: { 'image/*': [] },
    maxSize: MAX_BYTES,
    noClick: true,
    noKeyboard: true,
    onDrop: (accepted, rejected) =>
      onPictures(
        accepted.map((file) => ({ name: file.name, file })),
        rejected.map(refusal).join(' ') || null,
      ),
  });
  return (
    <Box
      {...getRootProps({ role: 'group', 'aria-label': 'Add pictures' })}
      sx={{
        border: 2,
        borderStyle: 'dashed',
        borderColor: isDragActive ? 'primary.main' : 'divider',
        bgcolor: isDragActive ? 'action.hover' : 'background.paper',
        borderRadius: 3,
        p: { xs: 2, sm: 4 },
        textAlign: 'center',
      }}
    >
      <input {...getInputProps({ 'aria-label': 'Choose pictures' })} />
      <Typography sx={{ fontWeight: 600, textWrap: 'balance' }}>
        {isDragActive ? 'Release to add' : 'Drop pictures here, or paste one'}
      </Typography>
      <Typography variant="body2" color="textSecondary" sx={{ mb: 2 }}>
        Several at a time, up to {bytes(MAX_BYTES)} each
      </Typography>
      <Box
        sx={{ display: 'flex', gap: 1, justifyContent: 'center', '& button': { px: { xs: 1.5, sm: 2 }, whiteSpace: 'nowrap' } }}
      >
        <Button variant="contained" startIcon={<PictureIcon />} onClick={open}>
          Choose pictures
        </Button>
        <Button variant="outlined" startIcon={<CameraIcon />} onClick={() => setCamera(true)}>
          Camera
        </Button>
      </Box>
      {camera && (
        <Suspense>
          <CameraDialog onPicture={(file) => onPictures([{ name: 'camera', file }], null)} onClose={() => setCamera(false)} />
        </Suspense>
      )}
    </Box>
  );
}
