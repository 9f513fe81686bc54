// A figure as Python made it to the figure a reader asked for: logarithmic axes, smoothing.
// The figure's meta says what may be done to it; deepfm/charts/smoothing.py says the formula.
const VIEWS = (window.deepfmViews ??= {});
const NUMBER_TYPES = {
  f4: Float32Array, f8: Float64Array, i1: Int8Array, u1: Uint8Array,
  i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array,
};

// Numbers travel as a list, or as {dtype, bdata}: the bytes of an array in base64.
function numbersOf(values) {
  if (!values?.bdata) return values ?? [];
  const bytes = Uint8Array.from(atob(values.bdata), (letter) => letter.charCodeAt(0));
  return Array.from(new NUMBER_TYPES[values.dtype](bytes.buffer));
}

// The exponential mean over the last `epochs` epochs, for `means[i]` the curve's mean in the
// stretch that ends at `positions[i]`: `smoothed` of smoothing.py, step by step the same.
function smoothedCurve(positions, means, epochs) {
  let above = 0, below = 0, before = 0;
  return means.map((mean, i) => {
    const width = (positions[i] - before) / epochs;
    const decay = Math.exp(-width), gain = -Math.expm1(-width);
    above = above * decay + mean * gain;
    below = below * decay + gain;
    before = positions[i];
    return below > 0 ? above / below : mean;
  });
}

// The smoothed line takes the place of the measured one, which stays faint behind it.
function withSmoothing(figure, epochs) {
  if (!(epochs > 0)) return figure;
  const faint = [];
  const data = figure.data.map((trace) => {
    const positions = numbersOf(trace.x);
    if (!trace.meta?.smooth || positions.length < 2) return trace;
    faint.push({
      ...trace, mode: 'lines', opacity: 0.28, zorder: -1, showlegend: false, hoverinfo: 'skip',
      hovertemplate: undefined,
    });
    const means = numbersOf(trace.meta.means ?? trace.y);
    return { ...trace, y: smoothedCurve(positions, means, epochs) };
  });
  return { ...figure, data: [...data, ...faint] };
}

function leastAbove(figure, axis) {
  const letter = axis[0], name = letter + axis.slice('xaxis'.length);
  let least = Infinity;
  for (const trace of figure.data) {
    if ((trace[`${letter}axis`] ?? letter) !== name) continue;
    for (const value of numbersOf(trace[letter])) if (value > 0 && value < least) least = value;
  }
  return least;
}

function withLogarithms(figure, axes) {
  const layout = { ...figure.layout };
  for (const axis of axes) {
    const least = leastAbove(figure, axis);
    const [low, high] = layout[axis].range;
    if (!Number.isFinite(least) || !(high > 0)) continue;
    const from = low > 0 ? low : Math.min(axis[0] === 'x' ? least : 0.9 * least, high / 2);
    const { dtick, ...rest } = layout[axis];
    layout[axis] = { ...rest, type: 'log', range: [Math.log10(from), Math.log10(high)] };
    const letter = axis[0], name = letter + axis.slice('xaxis'.length);
    // Plotly reads an upright line's place as a value, and a note's as its logarithm.
    layout.shapes = layout.shapes?.map((shape) => shape[`${letter}ref`] !== name ? shape : {
      ...shape,
      [`${letter}0`]: Math.max(shape[`${letter}0`], from / 2),
      [`${letter}1`]: Math.max(shape[`${letter}1`], from / 2),
    });
    layout.annotations = layout.annotations?.map((note) => note[`${letter}ref`] !== name ? note : {
      ...note, [letter]: Math.log10(Math.max(note[letter], from)),
    });
  }
  return { ...figure, layout };
}

// A view that leaves the figure as it is counts as none, which is what is there before the controls.
function changed(view) {
  return view && (view.smoothing > 0 || view.logLoss || view.logEpochs) ? view : undefined;
}

function asViewed(figure, view) {
  const { log_x: epochs = [], log_y: values = [] } = figure.layout.meta ?? {};
  if (!view) return figure;
  const axes = [...(view.logEpochs ? epochs : []), ...(view.logLoss ? values : [])];
  return withLogarithms(withSmoothing(figure, view.smoothing), axes);
}
