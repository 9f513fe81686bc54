// A drawing to a picture that stands alone: as it is shown, with its title and the page's ground.
const TITLE_PX = 16;
const LINE_PX = 22;
const SHARPNESS = 2;
const TOP_PX = 12;
const ASCENT = 0.7;

// Plotly does not break a title by itself; a letter is about half as wide as it is high.
function titleLines(text, width) {
  const most = Math.max(16, Math.floor((width - 24) / (TITLE_PX * 0.53)));
  const lines = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && `${last} ${word}`.length <= most) lines[lines.length - 1] += ` ${word}`;
    else lines.push(word);
  }
  return lines;
}

// What plotly would take for a tag or an entity stays text.
function asText(words) {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function standing(state, figure, title) {
  const { l, r, t, b } = figure._fullLayout._size;
  const lines = title ? titleLines(title, state.width) : [];
  const above = lines.length ? lines.length * LINE_PX + 20 : 0;
  // Plotly sets the top of a single line there, but the foot of the first of several.
  const top = TOP_PX + (lines.length > 1 ? ASCENT * TITLE_PX : 0);
  const ground = COLOURS[isDark(state.root) ? 'dark' : 'light'].ground;
  return {
    ...figure.layout,
    // A picture has no fonts of its own: plotly has to measure by one that is everywhere.
    font: { ...figure.layout.font, family: 'Arial, Helvetica, sans-serif' },
    title: {
      text: lines.map((line) => `<b>${asText(line)}</b>`).join('<br>'),
      font: { size: TITLE_PX }, x: 0, xref: 'container', xanchor: 'left',
      y: 1, yref: 'container', yanchor: 'top', pad: { t: top, l: 14 },
    },
    paper_bgcolor: ground,
    plot_bgcolor: ground,
    margin: { ...figure._fullLayout.margin, l: l + 12, r: r + 12, t: t + above, b: b + 12 },
    width: figure._fullLayout.width + 24,
    height: figure._fullLayout.height + above + 12,
  };
}

// A blob of the chart as it is on the screen; `format` is png or svg, `title` that of a chart
// whose own stands elsewhere on the page.
async function pictureOf(state, { format, title }) {
  const Plotly = await loadPlotly();
  if (!state.shown || !state.chart._fullLayout) {
    throw new Error('the chart is not drawn yet; open its tab, then try again');
  }
  const layout = standing(state, state.chart, state.heading.textContent || title);
  const address = await Plotly.toImage(
    { data: state.chart.data, layout, config: { staticPlot: true } },
    { format, width: layout.width, height: layout.height, scale: format === 'png' ? SHARPNESS : 1 },
  );
  return (await fetch(address)).blob();
}
