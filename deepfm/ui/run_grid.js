// The table of runs: ticks, links, sorting, groups that open, and a curve in each row's cell.
const COLOURS = __COLOURS__;
const MARKS = ['●', '■', '◆', '▲', '✖', '★'];
const WIDTH = 84;
const HEIGHT = 24;

function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    made.setAttribute(name, value === true ? '' : value);
  }
  made.append(...children.filter((child) => child !== null && child !== ''));
  return made;
}

function drawn(tag, attributes) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function isDark(element) {
  const canvas = document.createElement('canvas').getContext('2d');
  canvas.fillStyle = '#ffffff';
  canvas.fillStyle = getComputedStyle(element).getPropertyValue('--st-background-color').trim();
  const [red, green, blue] = [1, 3, 5].map((i) => parseInt(canvas.fillStyle.slice(i, i + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue < 128;
}

// Runs of one dataset share a scale, so that a higher line is a better run.
function sparkline(row) {
  const values = row.curve;
  if (!values.length) return '';
  const [low, high] = row.scale;
  const x = (i) => 3 + (values.length > 1 ? (i / (values.length - 1)) * (WIDTH - 8) : WIDTH - 8);
  const y = (v) => HEIGHT - 3 - (high > low ? ((v - low) / (high - low)) * (HEIGHT - 6) : HEIGHT / 2 - 3);
  const points = values.map((v, i) => `${x(i).toFixed(1)},${y(v).toFixed(1)}`).join(' ');
  const image = drawn('svg', { width: WIDTH, height: HEIGHT, role: 'img', 'aria-label': row.curve_words });
  image.append(
    drawn('polyline', { points, class: 'dfm-grid-line' }),
    drawn('circle', { cx: x(values.length - 1), cy: y(values.at(-1)), r: 2.2, class: 'dfm-grid-end' }),
  );
  return image;
}

function marker(row, colours) {
  if (row.mark === null) return '';
  const made = node('span', { class: 'dfm-grid-mark', 'aria-hidden': 'true' }, MARKS[row.mark]);
  made.style.color = colours[`run${row.mark + 1}`];
  return made;
}

function nameCell(row, state) {
  const cell = node('td', { class: 'dfm-grid-name' });
  const line = node('div', { class: 'dfm-grid-title' });
  if (row.kind === 'group') {
    const button = node(
      'button',
      { type: 'button', class: 'dfm-grid-open', 'aria-expanded': String(row.open), title: row.name },
      node('span', { class: 'dfm-grid-caret', 'aria-hidden': 'true' }, row.open ? '▾' : '▸'),
      node('span', { class: 'dfm-grid-text' }, row.name),
    );
    button.addEventListener('click', () => state.send('open', { id: row.id, open: !row.open }));
    line.append(button);
  } else {
    const link = node('a', { href: row.href, class: 'dfm-grid-text', title: row.name }, row.name);
    link.addEventListener('click', (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      state.send('follow', { id: row.id });
    });
    line.append(marker(row, state.colours), link);
  }
  cell.append(line);
  if (row.tags.length || row.note) {
    const small = node('div', { class: 'dfm-grid-small' });
    small.append(...row.tags.map((tag) => node('span', { class: 'dfm-grid-tag' }, tag)));
    if (row.note) small.append(node('span', { class: 'dfm-grid-note', title: row.note }, row.note));
    cell.append(small);
  }
  return cell;
}

const CELLS = {
  name: nameCell,
  state: (row) =>
    node('td', { class: `dfm-grid-state dfm-grid-${row.state}` }, row.state_words),
  model: (row) =>
    node(
      'td',
      { class: 'dfm-grid-model' },
      row.lamps && node('span', { class: 'dfm-grid-lamps' }, row.lamps),
      row.model,
    ),
  auc: (row) =>
    node('td', { class: 'dfm-grid-number' }, row.auc, node('small', {}, row.part)),
  loss: (row) => node('td', { class: 'dfm-grid-number' }, row.loss),
  curve: (row) => node('td', { class: 'dfm-grid-curve' }, sparkline(row)),
  epoch: (row) => node('td', { class: 'dfm-grid-number' }, row.epoch),
  settings: (row) => node('td', { class: 'dfm-grid-long', title: row.settings }, row.settings),
  dataset: (row) => node('td', { class: 'dfm-grid-long', title: row.dataset }, row.dataset_short),
  person: (row) => node('td', { class: 'dfm-grid-long', title: row.person }, row.person),
  seconds: (row) => node('td', { class: 'dfm-grid-number' }, row.seconds),
  created: (row) => node('td', { class: 'dfm-grid-number' }, row.created),
};

function tickCell(row, state) {
  const box = node('input', { type: 'checkbox', 'aria-label': `Tick ${row.name}`, 'data-id': row.id });
  const ticked = state.pending[row.id] ?? row.ticked;
  box.checked = ticked === true;
  box.indeterminate = ticked === 'some';
  box.addEventListener('change', () => tick(state, [row], box.checked));
  return node('td', { class: 'dfm-grid-tick' }, box);
}

// All changes that are not confirmed yet go along: two ticks may fall into one run of the page.
function tick(state, rows, on) {
  for (const row of rows) state.pending[row.id] = on;
  state.send('tick', { changes: { ...state.pending } });
}

function line(row, state) {
  const made = node('tr', { class: `dfm-grid-${row.kind}`, 'data-id': row.id });
  if (row.ticked) made.classList.add('dfm-grid-ticked');
  made.append(tickCell(row, state), ...state.data.columns.map(({ name }) => CELLS[name](row, state)));
  made.addEventListener('click', (event) => {
    if (event.target.closest('a, button, input') || String(getSelection())) return;
    made.querySelector('input').click();
  });
  return made;
}

function heading(column, state) {
  const { order, falling } = state.data;
  const made = node('th', { scope: 'col', class: `dfm-grid-head-${column.name}`, title: column.help });
  if (!column.sortable) {
    made.append(column.title);
    return made;
  }
  const active = order === column.name;
  made.setAttribute('aria-sort', active ? (falling ? 'descending' : 'ascending') : 'none');
  const arrow = node('span', { 'aria-hidden': 'true', class: 'dfm-grid-arrow' }, active ? (falling ? '▼' : '▲') : '');
  const button = node('button', { type: 'button', 'data-sort': column.name }, column.title, arrow);
  button.addEventListener('click', () => state.send('sort', { order: column.name }));
  made.append(button);
  return made;
}

function head(state) {
  const rows = state.data.rows;
  const box = node('input', { type: 'checkbox', 'aria-label': 'Tick all runs of this page' });
  box.checked = rows.length > 0 && rows.every((row) => (state.pending[row.id] ?? row.ticked) === true);
  box.indeterminate = !box.checked && rows.some((row) => state.pending[row.id] ?? row.ticked);
  box.addEventListener('change', () => tick(state, rows.filter((row) => row.kind !== 'member'), box.checked));
  return node(
    'thead',
    {},
    node(
      'tr',
      {},
      node('th', { scope: 'col', class: 'dfm-grid-tick' }, box),
      ...state.data.columns.map((column) => heading(column, state)),
    ),
  );
}

// What has the focus, in words that find it again after the table was drawn anew.
function focused(root) {
  const active = root.contains(document.activeElement) ? document.activeElement : null;
  if (!active) return null;
  if (active.dataset.sort) return `[data-sort="${active.dataset.sort}"]`;
  const row = active.closest('tr[data-id]');
  const tag = active.tagName.toLowerCase();
  return row ? `tr[data-id="${row.dataset.id}"] ${tag}` : `thead ${tag}`;
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector('.dfm-grid');
  const state = (root.state ??= { pending: {} });
  for (const row of data.rows) if (state.pending[row.id] === row.ticked) delete state.pending[row.id];
  state.data = data;
  state.send = (name, value) => setTriggerValue(name, value);
  state.colours = COLOURS[isDark(parentElement) ? 'dark' : 'light'];
  const { scrollTop, scrollLeft } = root;
  const held = focused(root);
  root.style.maxHeight = `${data.height}px`;
  const table = node('table', { 'aria-label': data.label }, head(state), node('tbody'));
  table.tBodies[0].append(...data.rows.map((row) => line(row, state)));
  root.replaceChildren(table);
  root.scrollTop = scrollTop;
  root.scrollLeft = scrollLeft;
  if (held) root.querySelector(held)?.focus({ preventScroll: true });
}
