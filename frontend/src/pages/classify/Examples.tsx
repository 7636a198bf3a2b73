import Box from '@mui/material/Box';
import ButtonBase from '@mui/material/ButtonBase';
import Typography from '@mui/material/Typography';
import { displayName } from '../../lib/manifest';
import { useModels } from '../../ui/models';

const NAMES = ['Bengal', 'Siamese', 'Bombay', 'Sphynx', 'Persian', 'other'];
const SIDE = 64;

interface Props {
  onPicture: (files: readonly { name: string; file: Blob }[], refused: string | null) => void;
}

/** Drawn by the pipeline's renderer with a seed that no training run used; to models of photos they are unlike all they know. */
export function Examples({ onPicture }: Props) {
  const { manifest } = useModels();
  const choose = async (name: string) => {
    try {
      const response = await fetch(`./examples/${name}.jpg`);
      if (!response.ok) throw new Error(String(response.status));
      onPicture([{ name: `${name}.jpg`, file: await response.blob() }], null);
    } catch {
      onPicture([], `The example ${displayName(name)} could not be loaded. Check the connection and try again.`);
    }
  };
  return (
    <Box sx={{ mt: 2, display: 'flex', alignItems: 'center', gap: 1, flexWrap: 'wrap' }}>
      <Typography variant="body2" color="textSecondary" sx={{ width: { xs: '100%', sm: 'auto' } }}>
        {manifest.data.synthetic ? 'Or try a drawn example:' : 'Or a drawn one, unlike the photos that the model knows:'}
      </Typography>
      <Box sx={{ display: 'grid', gridTemplateColumns: `repeat(6, minmax(0, ${SIDE}px))`, gap: 1, flex: 1 }}>
        {NAMES.map((name) => (
          <ButtonBase
            key={name}
            onClick={() => void choose(name)}
            aria-label={`Example: ${displayName(name)}`}
            sx={{ borderRadius: 2, overflow: 'hidden', '&:focus-visible': { outline: 3, outlineColor: 'primary.main' } }}
          >
            <Box
              component="img"
              src={`./examples/${name}.jpg`}
              alt=""
              width={SIDE}
              height={SIDE}
              sx={{ width: '100%', height: 'auto', display: 'block' }}
            />
          </ButtonBase>
        ))}
      </Box>
    </Box>
  );
}
