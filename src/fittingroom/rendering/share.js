// Shares as percentages, as share.py writes them: never 100% of what isn't all, nor 0% of what is something.

export const percentOf = (share, digits, language) => {
  const step = 10 ** -(digits + 2);
  const tiny = share > 0 && share < step / 2;
  const value = tiny ? step : share < 1 ? Math.min(share, 1 - step) : share;
  return (tiny ? "< " : "") + value.toLocaleString(language, { style: "percent", minimumFractionDigits: digits });
};
