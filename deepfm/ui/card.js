// The raw values of one impression, each of which can be changed where it stands: type to search.
const EMPTY = '(empty)';
const PAUSE_MS = 60;
const TALLEST = 320;

function element(kind, name, text = '') {
  const made = document.createElement(kind);
  made.className = name;
  made.textContent = text;
  return made;
}

const shown = (value) => (value === '' ? EMPTY : value);

async function ask(state, field, text) {
  const answer = await fetch(new URL(state.data.values, document.baseURI), {
    method: 'POST',
    headers: { 'X-DeepFM-Ticket': state.data.ticket },
    body: JSON.stringify({ run: state.data.run, field, text }),
  });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

// --- the list of values under an open field ---------------------------------------------------

function open(state, line) {
  if (state.line === line) return;
  close(state);
  state.line = line;
  line.input.setAttribute('aria-expanded', 'true');
  line.input.select();
  state.list.replaceChildren();
  look(state, '');
}

function close(state) {
  const line = state.line;
  if (!line) return;
  state.line = null;
  state.asked += 1;
  clearTimeout(state.pause);
  line.input.setAttribute('aria-expanded', 'false');
  line.input.removeAttribute('aria-activedescendant');
  line.input.value = shown(line.field.value);
  if (state.list.matches(':popover-open')) state.list.hidePopover();
}

async function look(state, text) {
  const { line } = state;
  state.asked += 1;
  const asked = state.asked;
  try {
    const found = await ask(state, line.field.name, text);
    if (asked === state.asked) show(state, text, found);
  } catch (error) {
    if (asked !== state.asked) return;
    state.list.replaceChildren(element('div', 'dfm-more', `No values came: ${error.message}`));
    place(state);
  }
}

function show(state, text, found) {
  const items = found.values.slice(0, 60).map(([value, count]) =>
    option(state, value, shown(value), count.toLocaleString('en')));
  const typed = text.trim();
  const exact = found.values.some(([value]) => value.toLowerCase() === typed.toLowerCase());
  const { number } = state.line.field;
  if (typed && !exact) {
    if (number) items.unshift(option(state, typed, `${typed}, as a number`, ''));
    else items.push(option(state, typed, `“${typed}”, as a value never seen`, ''));
  } else if (!number) {
    items.push(option(state, found.unseenText, found.unseenText, found.unseen.toLocaleString('en')));
  }
  const more = found.values.length > 60 || (!text && found.values.length < found.of);
  const words = text ? 'More hold this. Type more of the value.'
    : `The commonest of ${found.of.toLocaleString('en')}. Type to search them all.`;
  state.list.replaceChildren(...items, ...(more ? [element('div', 'dfm-more', words)] : []));
  const own = items.findIndex((item) => item.dataset.value === state.line.field.value);
  place(state);
  choose(state, text ? 0 : Math.max(0, own));
}

function option(state, value, words, count) {
  const item = element('div', 'dfm-option');
  item.role = 'option';
  item.dataset.value = value;
  item.title = words;
  const rows = element('span', 'dfm-count', count);
  if (count) rows.title = `${count} training rows`;
  item.append(element('span', 'dfm-text', words), rows);
  item.addEventListener('click', () => take(state, value));
  return item;
}

function choose(state, number) {
  const items = [...state.list.querySelectorAll('.dfm-option')];
  state.chosen = Math.max(0, Math.min(items.length - 1, number));
  items.forEach((item, place) => {
    item.id = `${state.data.name}-option-${place}`;
    item.setAttribute('aria-selected', String(place === state.chosen));
  });
  state.line.input.setAttribute('aria-activedescendant', items[state.chosen]?.id ?? '');
  items[state.chosen]?.scrollIntoView({ block: 'nearest' });
}

// Above every other thing on the page, under the field, or over it where there is more room.
function place(state) {
  const { list, line } = state;
  if (!list.matches(':popover-open')) list.showPopover();
  const box = line.input.getBoundingClientRect();
  const below = window.innerHeight - box.bottom - 12;
  const above = box.top - 12;
  const under = below >= Math.min(TALLEST, list.scrollHeight) || below >= above;
  list.style.maxHeight = `${Math.min(TALLEST, under ? below : above)}px`;
  list.style.minWidth = `${box.width}px`;
  list.style.left = `${Math.min(box.left, window.innerWidth - list.offsetWidth - 8)}px`;
  list.style.top = `${under ? box.bottom + 2 : box.top - list.offsetHeight - 2}px`;
}

// The page moves under an open list, by hand or because a chart above it has grown: the list goes
// with its field, and goes away with it.
function follow(state) {
  if (!state.line) return;
  const box = state.line.input.getBoundingClientRect();
  const card = state.card.getBoundingClientRect();
  const top = Math.max(0, card.top), bottom = Math.min(window.innerHeight, card.bottom);
  if (box.bottom <= top || box.top >= bottom) close(state);
  else if (state.list.matches(':popover-open')) place(state);
}

function take(state, value) {
  const { line } = state;
  const before = line.field.value;
  line.field = { ...line.field, value };
  // Told before the list is put away, which takes the browser a while.
  if (value !== before) state.change(line.field.name, value);
  close(state);
}

function key(state, line, event) {
  if (!state.line) {
    if (['ArrowDown', 'ArrowUp', 'Enter'].includes(event.key)) {
      event.preventDefault();
      open(state, line);
    }
    return;
  }
  const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
  if (step) choose(state, state.chosen + step);
  else if (event.key === 'Enter') {
    const item = state.list.querySelectorAll('.dfm-option')[state.chosen];
    if (item) take(state, item.dataset.value);
  } else if (event.key === 'Escape') close(state);
  else return;
  event.preventDefault();
}

// --- the lines --------------------------------------------------------------------------------

function chooser(state, line) {
  const { input } = line;
  input.role = 'combobox';
  input.setAttribute('aria-autocomplete', 'list');
  input.setAttribute('aria-expanded', 'false');
  input.setAttribute('aria-controls', state.list.id);
  input.addEventListener('click', () => open(state, line));
  input.addEventListener('keydown', (event) => key(state, line, event));
  input.addEventListener('blur', () => close(state));
  input.addEventListener('input', () => {
    if (state.line !== line) {
      const typed = input.value;
      open(state, line);
      input.value = typed;
    }
    clearTimeout(state.pause);
    state.asked += 1;
    state.pause = setTimeout(() => look(state, input.value), PAUSE_MS);
  });
}

function makeLine(state, field) {
  const root = element('label', 'dfm-line');
  const name = element('span', 'dfm-name', field.words);
  name.title = field.name;
  const input = document.createElement('input');
  input.autocomplete = 'off';
  input.spellcheck = false;
  const box = element('span', 'dfm-value');
  const note = element('span', 'dfm-note');
  box.append(input);
  root.append(name, box, note);
  const line = { root, input, note, field };
  chooser(state, line);
  return line;
}

function update(state, line, field) {
  line.field = field;
  line.root.classList.toggle('dfm-line-changed', field.was !== null);
  // What is being typed is left alone.
  if (state.line !== line) line.input.value = shown(field.value);
  line.input.title = field.value;
  const was = field.was === null ? '' : `was ${shown(field.was)}`;
  const other = field.other === null ? '' : `there: ${shown(field.other)}`;
  line.note.textContent = [was, field.seen, other].filter(Boolean).join(' · ');
}

function start(card, data) {
  const list = element('div', 'dfm-options');
  list.role = 'listbox';
  list.id = `${data.name}-options`;
  list.popover = 'manual';
  const state = { card, list, lines: [], line: null, asked: 0, chosen: 0, pause: 0 };
  card.after(list);
  // The input keeps the focus while a value is chosen with the mouse.
  list.addEventListener('mousedown', (event) => event.preventDefault());
  window.addEventListener('scroll', (event) => {
    if (!list.contains(event.target)) follow(state);
  }, { capture: true, passive: true });
  return state;
}

export default function ({ data, parentElement, setTriggerValue }) {
  const card = parentElement.querySelector('.dfm-card');
  const state = (card.deepfm ??= start(card, data));
  state.data = data;
  state.change = (field, value) => setTriggerValue('change', { field, value });
  card.style.maxHeight = `${data.height}px`;
  const same = state.lines.length === data.fields.length
    && state.lines.every(({ field }, i) => field.name === data.fields[i].name);
  if (!same) {
    close(state);
    state.lines = data.fields.map((field) => makeLine(state, field));
    card.replaceChildren(...state.lines.map(({ root }) => root));
  }
  state.lines.forEach((line, i) => update(state, line, data.fields[i]));
}
