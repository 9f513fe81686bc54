// One figure, redrawn in place. Python sends JSON; this resolves colour names to the theme,
// follows a slider by hand, reports clicks, and says in words when a figure cannot be drawn.
const COLOURS = __COLOURS__;
const TEMPLATE = __TEMPLATE__;
__VIEW__
__PICTURE__
const NAMED = /var\(--dfm-([a-z0-9]+)(?:,\s*([0-9.]+))?\)/g;
const AXIS = /^[xy]axis\d*$/;
// Below so many pixels a figure's own `meta.narrow` is laid over its layout, height and all. The
// figure may name another width, `below`, and a sentence for the caption, `note`.
const NARROW = 480;
const CONFIG = {
  displaylogo: false,
  // Its note hangs in the page's corner, outside the theme; ours stands in the chart.
  displayNotifier: false,
  responsive: false,
  doubleClick: 'reset+autosize',
  modeBarButtonsToRemove: ['select2d', 'lasso2d', 'autoScale2d', 'zoomIn2d', 'zoomOut2d'],
};

function loadPlotly() {
  window.deepfmPlotly ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = new URL('assets/plotly.min.js', document.baseURI).href;
    script.onload = () =>
      window.Plotly ? resolve(window.Plotly) : reject(new Error('the chart library is incomplete'));
    script.onerror = () => {
      window.deepfmPlotly = undefined;
      reject(new Error('the chart library could not be loaded from this server'));
    };
    document.head.append(script);
  });
  return window.deepfmPlotly;
}

function isDark(element) {
  const ground = getComputedStyle(element).getPropertyValue('--st-background-color').trim();
  const canvas = document.createElement('canvas').getContext('2d');
  canvas.fillStyle = '#ffffff';
  canvas.fillStyle = ground;
  const [red, green, blue] = [1, 3, 5].map((i) => parseInt(canvas.fillStyle.slice(i, i + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue < 128;
}

function plainColour(name, alpha, colours) {
  const hex = colours[name] ?? colours.text;
  if (alpha === undefined) return hex;
  const [red, green, blue] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  return `rgba(${red},${green},${blue},${alpha})`;
}

// Typed arrays travel as {bdata}: skipped, as they hold no colours.
function resolve(value, colours) {
  if (typeof value === 'string') {
    return value.includes('var(--dfm-')
      ? value.replace(NAMED, (_, name, alpha) => plainColour(name, alpha, colours))
      : value;
  }
  if (Array.isArray(value)) {
    const numbers = typeof value[0] === 'number' && typeof value[value.length - 1] === 'number';
    return numbers ? value : value.map((item) => resolve(item, colours));
  }
  if (value && typeof value === 'object') {
    if ('bdata' in value) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, resolve(item, colours)]),
    );
  }
  return value;
}

function merged(base, change) {
  if (Array.isArray(change) || !change || typeof change !== 'object' || 'bdata' in change) {
    return change;
  }
  const result = base && typeof base === 'object' && !Array.isArray(base) ? { ...base } : {};
  for (const [key, value] of Object.entries(change)) result[key] = merged(result[key], value);
  return result;
}

// The figure as frame `index` shows it: its traces and layout laid over the base.
function atFrame(figure, index) {
  const frame = figure.frames?.[index];
  if (!frame) return figure;
  const data = figure.data.slice();
  const places = frame.traces ?? frame.data.map((_, place) => place);
  places.forEach((place, i) => { data[place] = merged(data[place], frame.data[i]); });
  return { data, layout: merged(figure.layout, frame.layout ?? {}) };
}

function say(state, error) {
  state.failure.textContent = `This chart could not be drawn: ${error?.message ?? error}.`;
  state.failure.hidden = false;
}

const FIRST_POINTS_MS = 400;

// Charts take turns, so that between two drawings the browser can paint and hear: first those in
// sight, the others when nothing else is to do. Of the drawings of one chart that are asked for
// meanwhile only the last is made.
const TURNS = (window.deepfmTurns ??= { waiting: new Set(), busy: false, idle: false });

function draw(state) {
  TURNS.waiting.add(state);
  takeTurn();
}

async function takeTurn(unseen = false) {
  const now = performance.now();
  const ready = [...TURNS.waiting].filter((state) => !state.drawing && state.notBefore <= now);
  const next = ready.find(isInSight) ?? (unseen ? ready[0] : undefined);
  if (TURNS.busy) return;
  if (!next) { if (ready.length) whenIdle(); return; }
  TURNS.busy = true;
  TURNS.waiting.delete(next);
  // Bars that move are waited for by their own chart alone.
  await Promise.race([drawNow(next), new Promise((resolve) => setTimeout(resolve))]);
  TURNS.busy = false;
  takeTurn();
}

function isInSight({ root }) {
  const { top, bottom } = root.getBoundingClientRect();
  return bottom > 0 && top < window.innerHeight;
}

// What is about to get its first points is drawn with them, not once more before.
function waitForPoints(state) {
  if (state.shown || state.figure.data.some(hasPoints)) { state.notBefore = 0; return; }
  if (state.notBefore) return;
  state.notBefore = performance.now() + FIRST_POINTS_MS;
  setTimeout(takeTurn, FIRST_POINTS_MS + 1);
}

function hasPoints({ x, y, z }) {
  const values = y ?? x ?? z;
  return Boolean(values?.bdata || values?.length > 1 || (values?.[0] ?? null) !== null);
}

function whenIdle() {
  if (TURNS.idle) return;
  TURNS.idle = true;
  const work = () => { TURNS.idle = false; takeTurn(true); };
  if (window.requestIdleCallback) requestIdleCallback(work, { timeout: 300 });
  else setTimeout(work, 50);
}

async function drawNow(state) {
  state.drawing = true;
  try {
    const Plotly = await loadPlotly();
    if (!state.gone) await drawOnce(state, Plotly);
    state.failure.hidden = true;
  } catch (error) {
    say(state, error);
  }
  state.drawing = false;
  if (TURNS.waiting.has(state)) takeTurn();
}

async function drawOnce(state, Plotly) {
  const width = state.chart.clientWidth;
  // Inside a closed tab there is no width yet; the ResizeObserver asks again.
  if (!width) return;
  const mode = isDark(state.root) ? 'dark' : 'light';
  const view = changed(VIEWS[state.view]);
  const shown = [state.text, state.frame, state.height, width, mode, JSON.stringify(view)].join('|');
  if (shown === state.shown) return;
  const figure = resolve(asViewed(atFrame(state.figure, state.frame), view), COLOURS[mode]);
  const layout = {
    ...figure.layout,
    uirevision: figure.layout.uirevision ?? 'keep',
    ...(state.boxes ? { dragmode: 'select' } : {}),
    height: state.height,
    width,
    autosize: false,
    font: {
      ...figure.layout.font,
      family: getComputedStyle(state.root).getPropertyValue('--st-font').trim(),
    },
  };
  delete layout.title;
  const { below = NARROW, note = '', ...changes } = figure.layout.meta?.narrow ?? {};
  const narrow = width < below;
  if (narrow) Object.assign(layout, merged(layout, changes));
  showCaption(state, narrow ? note : '');
  state.chart.style.height = `${layout.height}px`;
  keepZoom(state, layout);
  const config = { ...CONFIG, ...state.config };
  // Only a change of the figure moves its bars; a new theme or width is drawn at once.
  if (!state.shown || state.drawnText === state.text) delete layout.transition;
  if (layout.transition) await moveAxes(state, Plotly, layout);
  const data = width < NARROW ? figure.data.map(withoutCrowdedText) : figure.data;
  await react(state, Plotly, data, layout, config);
  state.shown = shown;
  state.drawnText = state.text;
}

function showCaption(state, note) {
  state.note = note;
  const words = [state.words, note].filter(Boolean).join(' ').replaceAll(' %', '\u00a0%');
  if (state.caption.textContent !== words) state.caption.textContent = words;
  state.caption.hidden = !words;
}

// The numbers in the cells of a wide table lie over each other on a phone; colours and clicks stay.
function withoutCrowdedText(trace) {
  const crowded = trace.type === 'heatmap' && trace.texttemplate && trace.text?.[0]?.length > 6;
  return crowded ? { ...trace, texttemplate: '' } : trace;
}

// Before bars move, their axes are there at once: Plotly squeezes labels while an axis moves, and
// reports its own moving as if a person had zoomed.
async function moveAxes(state, Plotly, layout) {
  const moved = {};
  for (const [name, { range }] of Object.entries(layout).filter(([name]) => AXIS.test(name))) {
    const now = state.chart._fullLayout?.[name]?.range;
    if (range && String(range) !== String(now)) moved[`${name}.range`] = range.slice();
  }
  if (!Object.keys(moved).length) return;
  state.byItself = true;
  await Plotly.relayout(state.chart, moved);
  state.byItself = false;
}

// Plotly drops a zoom by hand when the figure asks for another range; a person's zoom wins.
function keepZoom(state, layout) {
  for (const [axis, range] of Object.entries(state.zoomed)) {
    const was = state.axes?.[axis], is = axisKind(layout, axis);
    if (was?.revision !== is.revision) delete state.zoomed[axis];
    else if (was.log !== is.log) state.zoomed[axis] = otherScale(range, is.log);
  }
  state.axes = Object.fromEntries(
    Object.keys(layout).filter((name) => AXIS.test(name)).map((name) => [name, axisKind(layout, name)]),
  );
  tellZoom(state);
  for (const [axis, range] of Object.entries(state.zoomed)) {
    layout[axis] = { ...layout[axis], range, autorange: false };
  }
}

// A zoom is the reader's as long as the axis shows the same: its own revision, or the figure's.
function axisKind(layout, axis) {
  return {
    revision: layout[axis]?.uirevision ?? layout.uirevision,
    log: layout[axis]?.type === 'log',
  };
}

// A zoomed range on the other scale: on a logarithmic axis plotly's ranges are logarithms.
function otherScale([low, high], log) {
  if (!log) return [10 ** low, 10 ** high];
  return [Math.log10(Math.max(low, high / 1000)), Math.log10(high)];
}

function noteZoom(state, change) {
  if (state.byItself) return;
  for (const [name, value] of Object.entries(change)) {
    const [axis, what] = name.split('.');
    if (!AXIS.test(axis)) continue;
    if (state.resetting || what === 'autorange') delete state.zoomed[axis];
    else if (what === 'range') state.zoomed[axis] = value.slice();
    else if (what === 'range[0]') state.zoomed[axis] = [value, change[`${axis}.range[1]`]];
  }
  state.resetting = false;
  tellZoom(state);
}

function tellZoom(state) {
  state.zoomNote.hidden = !Object.keys(state.zoomed).length;
}

async function react(state, Plotly, data, layout, config) {
  try {
    await Plotly.react(state.chart, data, layout, config);
  } catch (error) {
    // What cannot be moved from one drawing to the next is drawn anew.
    if (!state.shown) throw error;
    const { transition, ...still } = layout;
    state.listening = false;
    await Plotly.newPlot(state.chart, data, still, config);
  }
  if (!state.listening && !state.spareFor) {
    state.listening = true;
    state.chart.on('plotly_click', (event) => report(state, event));
    state.chart.on('plotly_selected', (event) => reportBox(state, Plotly, event));
    state.chart.on('plotly_relayout', (change) => noteZoom(state, change));
    // Comes before the relayout that goes back to the figure's own ranges.
    state.chart.on('plotly_doubleclick', () => { state.resetting = true; });
  }
}

function report(state, event) {
  const point = event.points?.[0];
  if (!state.clicks || !point) return;
  const number = Array.isArray(point.pointNumber) ? point.pointNumber : [point.pointNumber];
  state.setTriggerValue('click', {
    trace: point.curveNumber,
    point: number,
    name: point.data?.name ?? '',
    x: point.x ?? null,
    y: point.y ?? null,
    customdata: point.customdata ?? null,
  });
}

// A box that was drawn: Python answers with a figure that shows it, so plotly's own goes away.
function reportBox(state, Plotly, event) {
  if (!state.boxes || !event?.range) return;
  const [[left, right], [low, high]] = [event.range.x, event.range.y].map(
    ([one, other]) => [Math.min(one, other), Math.max(one, other)],
  );
  Plotly.relayout(state.chart, { selections: [] });
  state.setTriggerValue('box', { left, right, low, high });
}

const SCALE = 5;

// What the control says of its frame: the range, the value at its thumb, the sentence below.
function showControl(state) {
  const { readouts = [], values = [] } = state.slider ?? {};
  const words = readouts[state.frame] ?? '';
  const last = Math.max(1, Number(state.range.max));
  state.range.value = String(state.frame);
  state.range.setAttribute('aria-valuetext', words);
  state.readout.textContent = words;
  state.thumb.textContent = values[state.frame] ?? '';
  state.thumb.style.setProperty('--dfm-at', String(state.frame / last));
}

function showScale(state) {
  const values = state.slider.values ?? [];
  const places = values.length < SCALE ? [] : [...Array(SCALE).keys()];
  const marks = places.map((place) => {
    const mark = document.createElement('span');
    mark.textContent = values[Math.round((place * (values.length - 1)) / (SCALE - 1))];
    mark.style.setProperty('--dfm-at', String(place / (SCALE - 1)));
    return mark;
  });
  state.scale.replaceChildren(...marks);
}

function showFrame(state, index) {
  const last = (state.figure.frames?.length ?? 1) - 1;
  state.frame = Math.max(0, Math.min(last, index));
  showControl(state);
  if (!state.scheduled) {
    state.scheduled = true;
    requestAnimationFrame(() => { state.scheduled = false; draw(state); });
  }
}

function tellOthers(state) {
  if (!state.slider.group) return;
  const detail = { group: state.slider.group, frame: state.frame, from: state.chart };
  window.dispatchEvent(new CustomEvent('deepfm-frame', { detail }));
}

function moved(state) {
  showFrame(state, Number(state.range.value));
  tellOthers(state);
}

function settled(state) {
  if (state.slider.report) state.setStateValue('frame', state.frame);
}

function play(state) {
  if (state.timer) { stop(state); settled(state); return; }
  const last = state.figure.frames.length - 1;
  const stride = Math.max(1, Math.round(last / 80));
  if (state.frame >= last) showFrame(state, 0);
  state.play.textContent = '❚❚';
  state.play.setAttribute('aria-label', 'Pause');
  state.timer = setInterval(() => {
    showFrame(state, state.frame + stride);
    tellOthers(state);
    if (state.frame >= last) { stop(state); settled(state); }
  }, 60);
}

function stop(state) {
  clearInterval(state.timer);
  state.timer = 0;
  state.play.textContent = '▶';
  state.play.setAttribute('aria-label', 'Play');
}

function setSlider(state, slider) {
  const first = !state.slider || state.slider.revision !== slider?.revision;
  state.slider = slider;
  const frames = state.figure.frames?.length ?? 0;
  state.control.hidden = !slider || slider.hidden || frames < 2;
  state.root.classList.toggle('dfm-above', Boolean(slider?.above));
  if (!slider) { state.frame = -1; return; }
  state.label.textContent = slider.label;
  state.play.hidden = !slider.play;
  state.range.max = String(Math.max(0, frames - 1));
  const index = first ? slider.start : Math.min(state.frame, frames - 1);
  state.frame = Math.max(0, index);
  showScale(state);
  showControl(state);
}

// A drawing that was made ahead of time, out of sight, for the chart of this name: plotly takes half
// as long to change one as to begin one.
const SPARES = (window.deepfmSpares ??= new Map());

function takeSpare(root, name) {
  const spare = SPARES.get(name);
  if (!spare?.shown || spare.drawing || spare.gone) return;
  SPARES.delete(name);
  TURNS.waiting.delete(spare);
  spare.sizes.disconnect();
  root.querySelector('.dfm-chart').replaceWith(spare.chart);
}

// A browser makes fast what it has run a few times, so the spare is drawn and drawn again while
// nobody waits: with a point, without, and last as it is.
const REHEARSALS = 8;

function rehearse(state, figure, left = REHEARSALS) {
  if (state.gone || SPARES.get(state.spareFor) !== state) return;
  const point = left % 2 ? { x: [0.05 * left], y: [0.1 * left] } : {};
  state.figure = { ...figure, data: figure.data.map((trace) => ({ ...trace, ...point })) };
  state.text = `rehearsal ${left}`;
  draw(state);
  const next = () => rehearse(state, figure, left - 1);
  if (left) setTimeout(() => (window.requestIdleCallback ?? setTimeout)(next), 60);
}

function open(root, { name, spareFor }) {
  if (!spareFor) takeSpare(root, name);
  const find = (part) => root.querySelector(`.dfm-${part}`);
  const state = {
    root, frame: -1, zoomed: {}, notBefore: 0, heading: find('heading'), chart: find('chart'),
    failure: find('failure'), control: find('control'), label: find('label'),
    range: find('range'), thumb: find('thumb'), scale: find('scale'), readout: find('readout'), play: find('play'), caption: find('caption'),
    zoomNote: find('zoomed'),
  };
  state.range.id = `dfm-range-${Math.random().toString(36).slice(2)}`;
  state.label.htmlFor = state.range.id;
  state.range.addEventListener('input', () => { if (state.timer) stop(state); moved(state); });
  state.range.addEventListener('change', () => settled(state));
  state.play.addEventListener('click', () => play(state));
  state.follow = (event) => {
    if (event.detail.group === state.slider?.group && event.detail.from !== state.chart) {
      showFrame(state, event.detail.frame);
    }
  };
  window.addEventListener('deepfm-frame', state.follow);
  state.look = (event) => { if (event.detail.group === state.view) draw(state); };
  window.addEventListener('deepfm-view', state.look);
  state.take = ({ detail }) => {
    if (detail.chart === state.name) detail.picture = pictureOf(state, detail);
  };
  window.addEventListener('deepfm-picture', state.take);
  state.range.addEventListener('keydown', (event) => {
    if (event.key === ' ' && state.slider?.play) { event.preventDefault(); play(state); }
  });
  state.sizes = new ResizeObserver(() => {
    const width = state.chart.clientWidth;
    if (state.figure && width && width !== state.width) draw(state);
    state.width = width;
  });
  state.sizes.observe(state.chart);
  // The probe's colour follows the theme: its transition tells of a switch light/dark.
  find('probe').addEventListener('transitionrun', () => {
    setTimeout(() => state.figure && draw(state), 30);
  });
  return state;
}

function close(state) {
  state.gone = true;
  if (SPARES.get(state.spareFor) === state) SPARES.delete(state.spareFor);
  if (state.timer) stop(state);
  state.sizes.disconnect();
  window.removeEventListener('deepfm-frame', state.follow);
  window.removeEventListener('deepfm-view', state.look);
  window.removeEventListener('deepfm-picture', state.take);
  // One that was taken draws on for another.
  if (state.root.contains(state.chart)) window.Plotly?.purge(state.chart);
}

// Before the first chart is asked for: the library is there, and its first, slow drawing is done.
export async function warm() {
  const Plotly = await loadPlotly();
  if (document.querySelector('.dfm-chart')) return;
  const chart = document.createElement('div');
  const line = { x: [1, 2], y: [1, 2], mode: 'lines+markers', hovertemplate: '%{y}' };
  const template = resolve(TEMPLATE, COLOURS.light);
  const hidden = { width: 300, height: 200, template, showlegend: true };
  await Plotly.newPlot(chart, [line, { ...line, line: { dash: 'dash' } }], hidden, CONFIG);
  Plotly.purge(chart);
}

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector('.dfm-plot');
  const state = (root.deepfmState ??= open(root, data));
  Object.assign(state, { setStateValue, setTriggerValue, gone: false });
  try {
    state.text = data.figure;
    state.figure = JSON.parse(data.figure);
    if (state.figure.layout.template === 'deepfm') state.figure.layout.template = TEMPLATE;
    state.height = data.height;
    state.clicks = data.clicks;
    state.boxes = Boolean(data.boxes);
    state.view = data.view;
    state.name = data.name;
    state.spareFor = data.spareFor;
    if (state.spareFor) SPARES.set(state.spareFor, state);
    state.config = {
      displayModeBar: data.modebar ? 'hover' : false,
      ...(state.boxes
        ? { modeBarButtonsToRemove: CONFIG.modeBarButtonsToRemove.filter((name) => name !== 'select2d') }
        : {}),
    };
    if (!state.shown) state.chart.style.height = `${data.height}px`;
    state.chart.classList.toggle('dfm-clickable', data.clicks);
    state.chart.setAttribute('aria-label', data.alt);
    state.heading.textContent = data.title;
    state.heading.hidden = !data.title;
    if (state.words !== data.caption) { state.words = data.caption; showCaption(state, state.note ?? ''); }
    setSlider(state, data.slider);
    if (!state.spareFor) waitForPoints(state);
    // What is on the page already is drawn anew after the words that came with it are painted.
    if (state.spareFor) rehearse(state, state.figure);
    else if (state.shown) setTimeout(() => draw(state));
    else draw(state);
  } catch (error) {
    say(state, error);
  }
  // Called before the element leaves the page, so what it does waits until it has left; a spare
  // also until the chart has come that it was made for.
  return () => setTimeout(() => !root.isConnected && close(state), state.spareFor ? 5_000 : 0);
}
