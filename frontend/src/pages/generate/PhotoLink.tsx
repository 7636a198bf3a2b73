import Button from '@mui/material/Button';
import { useContext } from 'react';
import { Link } from 'react-router';
import { PictureIcon } from '../../ui/icons';
import { ItemsContext } from '../classify/items';

/** To the classifier, where the reader's pictures and their answers still are. */
export function PhotoLink() {
  const hasPictures = Boolean(useContext(ItemsContext)?.items.length);
  return (
    <Button component={Link} to="/classify" size="small" startIcon={<PictureIcon />}>
      {hasPictures ? 'Back to my pictures' : 'Which breed is my cat?'}
    </Button>
  );
}
