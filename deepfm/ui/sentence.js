// An impression as a sentence of native drop-downs; below it, changes worth trying.
function option(select, value, label) {
  const item = document.createElement('option');
  item.value = value;
  item.textContent = label;
  select.append(item);
}

function dropDown(part, choose) {
  const select = document.createElement('select');
  select.className = 'dfm-choice';
  select.setAttribute('aria-label', part.label);
  select.dataset.field = part.field;
  for (const [value, label] of part.options) option(select, value, label);
  select.addEventListener('change', () => choose({ [part.field]: select.value }));
  return select;
}

function build(root, data, choose) {
  const line = root.querySelector('.dfm-words');
  line.replaceChildren(
    ...data.parts.map((part) => {
      if (part.field) return dropDown(part, choose);
      const words = document.createElement('span');
      words.textContent = part.text;
      return words;
    }),
  );
}

function button(suggestion, choose) {
  const chip = document.createElement('button');
  chip.type = 'button';
  chip.className = 'dfm-try';
  chip.textContent = suggestion.label;
  chip.title = suggestion.title;
  chip.addEventListener('click', () => choose(suggestion.changes));
  return chip;
}

function show(root) {
  for (const select of root.querySelectorAll('select')) {
    const field = select.dataset.field;
    select.value = root.values[field];
    select.classList.toggle('dfm-changed', root.values[field] !== root.reference[field]);
  }
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector('.dfm-sentence');
  const shape = JSON.stringify(data.parts);
  // The drop-downs outlive a drawing: what they compare with is the root's, not this drawing's.
  const choose = (changes) => {
    if (Object.entries(changes).every(([field, value]) => root.values[field] === value)) return;
    root.reference = root.values;
    root.values = { ...root.values, ...changes };
    show(root);
    setStateValue('chosen', root.values);
  };
  if (root.shape !== shape) {
    root.shape = shape;
    build(root, data, choose);
  }
  root.values = data.values;
  root.reference = data.reference;
  show(root);
  for (const group of ['tries', 'stories']) {
    const row = root.querySelector(`.dfm-${group}`);
    row.hidden = !data[group].length;
    row.querySelector('.dfm-chips').replaceChildren(
      ...data[group].map((item) => button(item, choose)),
    );
  }
}
