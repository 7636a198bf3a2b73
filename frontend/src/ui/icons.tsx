import SvgIcon, { type SvgIconProps } from '@mui/material/SvgIcon';

/** Icons as paths: the icon package would be thousands of files for these few. */
function icon(path: string) {
  return function Icon(props: SvgIconProps) {
    return (
      <SvgIcon {...props}>
        <path d={path} />
      </SvgIcon>
    );
  };
}

export const ClassifyIcon = icon(
  'M4 4h5v2H6v3H4V4zm11 0h5v5h-2V6h-3V4zM4 15h2v3h3v2H4v-5zm14 0h2v5h-5v-2h3v-3zM12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8z',
);
export const GenerateIcon = icon(
  'M12 2l2.2 6.8L21 11l-6.8 2.2L12 20l-2.2-6.8L3 11l6.8-2.2L12 2zm7 13l1 3 3 1-3 1-1 3-1-3-3-1 3-1 1-3z',
);
export const BenchmarkIcon = icon(
  'M12 4a9 9 0 0 0-7.8 13.5l1.7-1A7 7 0 1 1 19 13a7 7 0 0 1-.9 3.5l1.7 1A9 9 0 0 0 12 4zm4.5 4.2l-5.6 4a1.6 1.6 0 1 0 2 2l3.6-6z',
);
export const ExperimentsIcon = icon('M4 20V4h2v14h14v2H4zm4-4V11h3v5H8zm5 0V6h3v10h-3zm5 0V9h3v7h-3z');
export const LightIcon = icon(
  'M12 7a5 5 0 1 1 0 10 5 5 0 0 1 0-10zM11 1h2v4h-2V1zm0 18h2v4h-2v-4zM1 11h4v2H1v-2zm18 0h4v2h-4v-2zM4.2 5.6l1.4-1.4 2.8 2.8L7 8.4 4.2 5.6zm11.4 11.4l1.4-1.4 2.8 2.8-1.4 1.4-2.8-2.8zM5.6 19.8l-1.4-1.4L7 15.6 8.4 17l-2.8 2.8zM17 8.4L15.6 7l2.8-2.8 1.4 1.4L17 8.4z',
);
export const DarkIcon = icon('M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z');
export const PictureIcon = icon('M4 5h16v14H4V5zm2 2v8l4-4 3 3 2-2 3 3V7H6zm9 1.5a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3z');
export const CameraIcon = icon('M9 4h6l1.5 2H20v13H4V6h3.5L9 4zm3 4.5a4 4 0 1 0 0 8 4 4 0 0 0 0-8z');
export const DiceIcon = icon(
  'M5 3h14a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2zm3 3.5a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3zm8 8a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3zm-4-4a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3z',
);
export const CloseIcon = icon('M6.4 5L12 10.6 17.6 5 19 6.4 13.4 12l5.6 5.6-1.4 1.4L12 13.4 6.4 19 5 17.6l5.6-5.6L5 6.4 6.4 5z');
export const PlayIcon = icon('M8 5l11 7-11 7V5z');
export const PauseIcon = icon('M7 5h4v14H7V5zm6 0h4v14h-4V5z');
