// The table of runs: ticks, links, sorting, groups that open, and a curve in each row's cell.
const COLOURS = __COLOURS__;
const MARKS = ['●', '■', '◆', '▲', '✖', '★'];
const WIDTH = 84;
const HEIGHT = 24;
// What is left out where there is no room, the first of it first; in rem, the least of a long text.
const LEAVE_OUT = ['epoch', 'model', 'seconds', 'curve', 'created', 'person', 'settings', 'dataset', 'loss', 'state'];
const LEAST = { name: 11, settings: 9 };
const MOST = { name: 26, settings: 34 };
const NARROW = 480;
const LEAST_NAME_NARROW = 8.5;

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
  if (row.tags.length || row.note || row.origin) {
    const small = node('div', { class: 'dfm-grid-small' });
    small.append(...row.tags.map((tag) => node('span', { class: 'dfm-grid-tag' }, tag)));
    if (row.origin) small.append(node('span', { class: 'dfm-grid-note', title: row.origin }, row.origin));
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
    node(
      'td',
      { class: 'dfm-grid-number', title: row.part === 'last' ? 'The latest before it ended.' : null },
      row.auc,
      node('small', {}, row.part),
    ),
  loss: (row) => node('td', { class: 'dfm-grid-number' }, row.loss),
  curve: (row) => node('td', { class: 'dfm-grid-curve' }, sparkline(row)),
  epoch: (row) => node('td', { class: 'dfm-grid-number' }, row.epoch),
  settings: (row) => node('td', { class: 'dfm-grid-settings', title: row.settings }, row.settings),
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
  const cells = state.data.columns.map(({ name }) => {
    const cell = CELLS[name](row, state);
    cell.dataset.column = name;
    return cell;
  });
  made.append(tickCell(row, state), ...cells);
  made.addEventListener('click', (event) => {
    if (event.target.closest('a, button, input') || String(getSelection())) return;
    made.querySelector('input').click();
  });
  return made;
}

function heading(column, state) {
  const { order, falling } = state.data;
  const made = node('th', {
    scope: 'col',
    class: `dfm-grid-head-${column.name}`,
    title: column.help,
    'data-column': column.name,
  });
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

// --- room -------------------------------------------------------------------------------------

function rem(count) {
  return count * parseFloat(getComputedStyle(document.documentElement).fontSize);
}

function setLong(root, widths) {
  for (const [name, width] of Object.entries(widths)) root.style.setProperty(`--dfm-${name}`, `${width}px`);
}

function widthsOf(table) {
  const heads = [...table.tHead.querySelectorAll('th[data-column]')];
  return Object.fromEntries(heads.map((head) => [head.dataset.column, head.getBoundingClientRect().width]));
}

// Long texts give way first, then whole columns; what the list is sorted by stays.
function fit(root, state) {
  const table = root.querySelector('table');
  const room = root.clientWidth;
  if (!table || !room) return;
  state.room = room;
  for (const cell of table.querySelectorAll('[data-column]')) cell.hidden = false;
  table.style.width = 'max-content';
  const most = Object.fromEntries(Object.entries(MOST).map(([name, count]) => [name, rem(count)]));
  setLong(root, most);
  const natural = widthsOf(table);
  const least = { name: rem(room < NARROW ? LEAST_NAME_NARROW : LEAST.name), settings: rem(LEAST.settings) };
  const narrow = (name) => Math.min(natural[name] ?? 0, least[name] ?? Infinity);
  const tick = table.tHead.querySelector('th').getBoundingClientRect().width;
  const shown = new Set(Object.keys(natural));
  const needed = () => [...shown].reduce((sum, name) => sum + narrow(name), tick + 2);
  const left = [];
  if (!state.all) {
    for (const name of LEAVE_OUT) {
      if (needed() <= room) break;
      if (name === state.data.order && name !== 'created') continue;
      if (shown.delete(name)) left.push(name);
    }
  }
  let spare = Math.max(0, room - needed());
  const widths = {};
  for (const name of ['name', 'settings']) {
    if (!shown.has(name)) continue;
    const wished = natural[name] - narrow(name);
    const both = name === 'name' && shown.has('settings');
    const share = Math.min(wished, both ? Math.max(spare / 2, spare - natural.settings + narrow('settings')) : spare);
    widths[name] = narrow(name) + share;
    spare -= share;
  }
  setLong(root, widths);
  for (const cell of table.querySelectorAll('[data-column]')) cell.hidden = !shown.has(cell.dataset.column);
  table.style.width = '';
  tell(root, state, left);
  hint(root);
}

// Which columns are left out, and the way to have them.
function tell(root, state, left) {
  const more = root.parentElement.parentElement.querySelector('.dfm-grid-more');
  const titles = state.data.columns.filter(({ name }) => left.includes(name)).map(({ title }) => title);
  more.hidden = !titles.length && !state.all;
  if (more.hidden) return;
  const words = state.all ? 'All columns are shown.' : `Left out for want of room: ${titles.join(', ')}.`;
  if (more.dataset.words === words) return;
  more.dataset.words = words;
  const button = node('button', { type: 'button' }, state.all ? 'Only what fits' : 'Show all columns');
  button.addEventListener('click', () => {
    state.all = !state.all;
    fit(root, state);
    more.querySelector('button')?.focus({ preventScroll: true });
  });
  more.replaceChildren(words, ' ', button);
}

// A shadow at an edge beyond which the table goes on.
function hint(root) {
  const frame = root.parentElement;
  frame.classList.toggle('dfm-grid-goes-on', root.scrollLeft + root.clientWidth < root.scrollWidth - 2);
  frame.classList.toggle('dfm-grid-moved', root.scrollLeft > 2);
}

function watch(root, state) {
  root.addEventListener('scroll', () => hint(root), { passive: true });
  state.watcher = new ResizeObserver(() => {
    if (root.clientWidth !== state.room) fit(root, state);
  });
  state.watcher.observe(root);
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
  fit(root, state);
  if (!state.watcher) watch(root, state);
  root.scrollTop = scrollTop;
  root.scrollLeft = scrollLeft;
  hint(root);
  if (held) root.querySelector(held)?.focus({ preventScroll: true });
}
