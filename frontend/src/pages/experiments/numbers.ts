import type { Value } from './report';

const DIGITS = 4;
const decimal = new Intl.NumberFormat('en-US', { maximumSignificantDigits: DIGITS });
const scientific = new Intl.NumberFormat('en-US', { maximumSignificantDigits: DIGITS, notation: 'scientific' });
const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** Whole numbers in full, others with four digits that count. */
export function formatNumber(value: number): string {
  if (Number.isInteger(value)) return whole.format(value);
  return Math.abs(value) < 1e-3 ? scientific.format(value).toLowerCase() : decimal.format(value);
}

export function formatValue(value: Value): string {
  if (typeof value === 'number') return formatNumber(value);
  return typeof value === 'string' ? value : JSON.stringify(value);
}

export function formatSigned(value: number): string {
  return value > 0 ? `+${formatNumber(value)}` : formatNumber(value).replace('-', '\u2212');
}

export function formatPercent(share: number): string {
  const percent = share * 100;
  const text = Math.abs(percent) >= 1000 ? whole.format(percent) : percent.toFixed(Math.abs(percent) < 10 ? 2 : 1);
  return `${share > 0 ? '+' : ''}${text}%`.replace('-', '\u2212');
}
