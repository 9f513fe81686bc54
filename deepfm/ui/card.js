// The raw values of one impression, each of which can be changed where it stands.
const EMPTY = '(empty)';

function chooser(field, change) {
  const select = document.createElement('select');
  const known = field.options.includes(field.value) ? field.options : [field.value, ...field.options];
  for (const value of known) {
    const item = document.createElement('option');
    item.value = value;
    item.textContent = value === '' ? EMPTY : value;
    select.append(item);
  }
  select.value = field.value;
  select.addEventListener('change', () => change(field.name, select.value));
  return select;
}

function writer(field, change, list) {
  const box = document.createElement('span');
  const input = document.createElement('input');
  input.value = field.value;
  input.placeholder = field.value === '' ? EMPTY : 'type a value';
  input.title = 'Type a value';
  input.autocomplete = 'off';
  if (field.options.length) {
    const options = document.createElement('datalist');
    options.id = list;
    for (const value of field.options) {
      const item = document.createElement('option');
      item.value = value;
      options.append(item);
    }
    input.setAttribute('list', list);
    box.append(options);
  }
  input.addEventListener('change', () => change(field.name, input.value));
  box.append(input);
  return box;
}

function row(field, change, list) {
  const line = document.createElement('label');
  line.className = 'dfm-line';
  line.classList.toggle('dfm-line-changed', field.was !== null);
  const name = document.createElement('span');
  name.className = 'dfm-name';
  name.textContent = field.name;
  name.title = field.name;
  const control = field.free ? writer(field, change, list) : chooser(field, change);
  control.classList.add('dfm-value');
  const note = document.createElement('span');
  note.className = 'dfm-note';
  const was = field.was === null ? '' : `was ${field.was === '' ? EMPTY : field.was}`;
  note.textContent = [was, field.seen].filter(Boolean).join(' · ');
  line.append(name, control, note);
  return line;
}

export default function ({ data, parentElement, setTriggerValue }) {
  const card = parentElement.querySelector('.dfm-card');
  const change = (field, value) => setTriggerValue('change', { field, value });
  // The control in use keeps the focus when the card is drawn again.
  const used = card.contains(document.activeElement)
    ? document.activeElement.closest('.dfm-line')?.querySelector('.dfm-name')?.textContent
    : null;
  const top = card.scrollTop;
  card.style.maxHeight = `${data.height}px`;
  card.replaceChildren(
    ...data.fields.map((field, place) => row(field, change, `${data.name}-${place}`)),
  );
  card.scrollTop = top;
  if (used !== null && used !== undefined) {
    const place = data.fields.findIndex((field) => field.name === used);
    card.children[place]?.querySelector('select, input')?.focus({ preventScroll: true });
  }
}
