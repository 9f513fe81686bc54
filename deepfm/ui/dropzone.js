// One file, dropped or chosen, streamed to this server: progress, time left, cancel. What went
// wrong is said where the file was dropped; the last file stays in use until a new one is there.
function words(bytes) {
  for (const [size, unit] of [[1e9, 'GB'], [1e6, 'MB'], [1e3, 'kB']]) {
    if (bytes >= size) return `${(bytes / size).toFixed(bytes < 10 * size ? 1 : 0)} ${unit}`;
  }
  return `${bytes} bytes`;
}

function timeLeft(seconds) {
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 60) return `, ${Math.max(1, Math.round(seconds))} s left`;
  return `, ${Math.round(seconds / 60)} min left`;
}

function show(state, name, error = '') {
  const { title, note, current } = state.data;
  const used = state.file ?? current;
  state.root.dataset.state = name === 'idle' && used ? 'done' : name;
  state.title.textContent = name === 'busy' ? `Uploading ${state.sending}` : used?.name ?? title;
  if (name !== 'busy') {
    state.note.textContent = used
      ? `${words(used.size)}. Drop or choose another file to replace it.` : note;
  }
  state.error.textContent = error;
  state.input.disabled = name === 'busy';
}

function progress(state, event) {
  const seconds = (performance.now() - state.started) / 1000;
  const rate = event.loaded / Math.max(seconds, 0.001);
  state.bar.value = event.total ? event.loaded / event.total : 0;
  state.note.textContent =
    event.loaded < event.total
      ? `${words(event.loaded)} of ${words(event.total)}, ${words(Math.round(rate))}/s` +
        timeLeft((event.total - event.loaded) / rate)
      : 'Arrived; the server is storing it.';
}

function answer(request) {
  try {
    return JSON.parse(request.responseText);
  } catch {
    return {};
  }
}

function finished(state, request) {
  state.request = undefined;
  const reply = answer(request);
  if (request.status === 200 && reply.id) {
    state.file = reply;
    show(state, 'idle');
    state.setTriggerValue('file', reply);
  } else {
    show(state, 'idle', reply.error ?? `The server refused the file (${request.status}). Try again.`);
  }
}

function send(state, file) {
  if (!file || state.request) return;
  if (file.size > state.data.limit) {
    show(state, 'idle',
      `${file.name} has ${words(file.size)}; this server takes up to ${state.data.limit_text}. ` +
      'Compress it (.gz, .zip, .zst) or bring a part of it.');
    return;
  }
  if (!file.size) {
    show(state, 'idle', `${file.name} is empty, or a folder. Choose a file with at least a few rows.`);
    return;
  }
  const request = new XMLHttpRequest();
  Object.assign(state, { request, started: performance.now(), sending: file.name });
  request.upload.onprogress = (event) => progress(state, event);
  request.onload = () => finished(state, request);
  request.onabort = () => { state.request = undefined; show(state, 'idle'); };
  request.onerror = () => {
    state.request = undefined;
    show(state, 'idle', 'The connection to the server broke off. Nothing was kept; drop the file again.');
  };
  request.open('POST', new URL('upload', document.baseURI).href);
  request.setRequestHeader('X-File-Name', encodeURIComponent(file.name));
  request.setRequestHeader('X-DeepFM-Ticket', state.data.ticket);
  state.bar.value = 0;
  state.note.textContent = `0 of ${words(file.size)}`;
  show(state, 'busy');
  state.cancel.focus();
  request.send(file);
}

// A file dropped beside the zone would otherwise replace the whole page.
function keepPage(event) {
  if (event.dataTransfer?.types?.includes('Files')) event.preventDefault();
}

function listen(state) {
  const { zone, input, cancel, root } = state;
  const over = (value) => (event) => { event.preventDefault(); root.dataset.over = value; };
  zone.addEventListener('dragenter', over('yes'));
  zone.addEventListener('dragover', over('yes'));
  zone.addEventListener('dragleave', over('no'));
  zone.addEventListener('drop', (event) => {
    over('no')(event);
    const files = event.dataTransfer?.files ?? [];
    if (files.length > 1) show(state, 'idle', 'Drop one file at a time.');
    else send(state, files[0]);
  });
  input.addEventListener('change', () => { send(state, input.files[0]); input.value = ''; });
  cancel.addEventListener('click', () => state.request?.abort());
  window.addEventListener('dragover', keepPage);
  window.addEventListener('drop', keepPage);
}

function open(root) {
  const find = (name) => root.querySelector(`.dfm-drop-${name}`);
  const state = {
    root, zone: find('zone'), input: find('input'), title: find('title'), note: find('note'),
    bar: find('bar'), cancel: find('cancel'), error: find('error'),
  };
  listen(state);
  return state;
}

function close(state) {
  state.request?.abort();
  window.removeEventListener('dragover', keepPage);
  window.removeEventListener('drop', keepPage);
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector('.dfm-drop');
  const state = (root.deepfmDrop ??= open(root));
  Object.assign(state, { data, setTriggerValue });
  if (!data.current && !state.request && state.hadCurrent) state.file = undefined;
  state.hadCurrent = Boolean(data.current);
  state.zone.style.minHeight = `${data.height}px`;
  state.bar.setAttribute('aria-label', `Upload: ${data.title}`);
  if (!state.request && !state.error.textContent) show(state, 'idle');
  // Called also before each redraw: only what has left the page is closed.
  return () => setTimeout(() => !root.isConnected && close(state), 0);
}
