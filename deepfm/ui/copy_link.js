// Copies the address of what is shown; where the browser forbids that, shows it to be copied.
const SHOWN = 2500;

function address(needed) {
  const link = new URL(location.href);
  for (const [name, value] of Object.entries(needed)) {
    if (!link.searchParams.has(name)) link.searchParams.set(name, value);
  }
  return link.href;
}

export default function ({ data, parentElement }) {
  const find = (name) => parentElement.querySelector(name);
  const [button, text, said] = [find('button'), find('.dfm-copy-text'), find('.dfm-copied')];
  find('.dfm-copy-label').textContent = data.label;
  button.onclick = async () => {
    const link = address(data.needed);
    try {
      await navigator.clipboard.writeText(link);
      said.textContent = 'Copied';
    } catch {
      // Without https a browser lets no page write to the clipboard.
      text.hidden = false;
      text.value = link;
      text.focus();
      text.select();
      said.textContent = 'Press Ctrl+C';
    }
    clearTimeout(button.timer);
    button.timer = setTimeout(() => { said.textContent = ''; }, SHOWN);
  };
}
