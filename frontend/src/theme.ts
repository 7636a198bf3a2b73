import { createTheme } from '@mui/material/styles';

export const theme = createTheme({
  cssVariables: { colorSchemeSelector: 'data' },
  colorSchemes: {
    light: {
      palette: {
        primary: { main: '#a33c0c' },
        secondary: { main: '#1f6f78' },
        background: { default: '#faf8f5', paper: '#ffffff' },
        text: { primary: '#221a15', secondary: '#5d534c' },
      },
    },
    dark: {
      palette: {
        primary: { main: '#ffb38a', contrastText: '#3a1500' },
        secondary: { main: '#7fd0d8' },
        background: { default: '#151210', paper: '#1e1a17' },
        text: { primary: '#f3ece6', secondary: '#b9aea6' },
      },
    },
  },
  shape: { borderRadius: 8 },
  typography: {
    fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif',
    h1: { fontSize: '1.6rem', fontWeight: 700, letterSpacing: '-0.01em' },
    h2: { fontSize: '1.15rem', fontWeight: 650 },
    h3: { fontSize: '1rem', fontWeight: 650 },
    button: { textTransform: 'none', fontWeight: 600 },
  },
  components: {
    MuiPaper: { defaultProps: { elevation: 0 }, styleOverrides: { root: { backgroundImage: 'none' } } },
    MuiButton: { defaultProps: { disableElevation: true } },
  },
});
