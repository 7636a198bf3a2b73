import Alert from '@mui/material/Alert';
import Button from '@mui/material/Button';

export function ErrorNote({ message, onRetry, onClose }: { message: string; onRetry?: () => void; onClose?: () => void }) {
  return (
    <Alert
      severity="error"
      sx={{ my: 2 }}
      {...(onClose && !onRetry && { onClose })}
      action={
        onRetry && (
          <Button color="inherit" size="small" onClick={onRetry}>
            Try again
          </Button>
        )
      }
    >
      {message}
    </Alert>
  );
}
