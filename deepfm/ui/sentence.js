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

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector('.dfm-sentence');
  const shape = JSON.stringify(data.parts);
  const choose = (changes) => {
    root.values = { ...root.values, ...changes };
    show();
    setStateValue('chosen', root.values);
  };
  const show = () => {
    for (const select of root.querySelectorAll('select')) {
      select.value = root.values[select.dataset.field];
      const changed = select.value !== data.reference[select.dataset.field];
      select.classList.toggle('dfm-changed', changed);
    }
  };
  if (root.shape !== shape) {
    root.shape = shape;
    build(root, data, choose);
  }
  root.values = data.values;
  show();
  for (const group of ['tries', 'stories']) {
    const row = root.querySelector(`.dfm-${group}`);
    row.hidden = !data[group].length;
    row.querySelector('.dfm-chips').replaceChildren(
      ...data[group].map((item) => button(item, choose)),
    );
  }
}
