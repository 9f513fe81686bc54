// Two buttons that ask the chart `data.chart` for its picture and hand it to the browser as a file.
const SHOWN_MS = 4000;

function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

export default function ({ data, parentElement }) {
  parentElement.querySelector('.dfm-save-words').textContent = data.words;
  const said = parentElement.querySelector('[role=status]');
  const tell = (words) => {
    said.textContent = words;
    clearTimeout(said.timer);
    said.timer = setTimeout(() => { said.textContent = ''; }, SHOWN_MS);
  };
  for (const button of parentElement.querySelectorAll('button')) {
    const { format } = button.dataset;
    button.onclick = async () => {
      const asked = { chart: data.chart, format, title: data.words };
      window.dispatchEvent(new CustomEvent('deepfm-picture', { detail: asked }));
      try {
        if (!asked.picture) throw new Error('the chart is not on this page any more');
        save(await asked.picture, `${data.file}.${format}`);
        tell('Saved');
      } catch (error) {
        tell(`No picture could be made: ${error.message}.`);
      }
    };
  }
}
