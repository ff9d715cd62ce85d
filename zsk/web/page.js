"use strict";
// One photo at a time: `shown` is what is on the canvas, `wanted` whether the words have changed
// since they were sent. At most one request for labels is under way; the newest words come next.
const $ = (id) => document.getElementById(id);
const TYPING_PAUSE = 200; // milliseconds
const shown = { key: "", width: 0, height: 0, stem: "photo", grey: null, labels: null, names: [] };
let model = { ready: false };
let busy = false, wanted = false, timer = 0, pointed = -1, cross = null, stream = null;

async function ask(address, body) {
  let answer;
  try {
    answer = await fetch(address, body === undefined ? {} : { method: "POST", body });
  } catch {
    throw new Error("zsk web does not answer: look whether it is still running in its terminal");
  }
  if (answer.ok) return answer;
  const { error } = await answer.json().catch(() => ({}));
  throw new Error(error || `the server answers with status ${answer.status}`);
}

function say(status, error = "") {
  $("status").textContent = status;
  $("error").textContent = error && error[0].toUpperCase() + error.slice(1) + ".";
}

// the model

async function waitForModel() {
  try {
    model = await (await ask("model")).json();
  } catch (problem) {
    say("", problem.message);
  }
  if (!model.ready) return setTimeout(waitForModel, 500);
  say(shown.key ? "" : "Choose a photo.");
  $("model").textContent = `Everything stays on the machine of zsk web. Model: ${model.title}`;
  if (model.words && !$("words").value) $("words").value = model.words;
  $("lam-row").hidden = model.lam === null;
  if (model.lam !== null) $("lam").value = model.lam;
  $("opacity").value = model.opacity;
  showNumbers();
}

function showNumbers() {
  for (const id of ["threshold", "lam", "opacity"])
    $(`${id}-value`).textContent = Number($(id).value).toFixed(2);
}

// the photo

async function look(file) {
  closeCamera();
  if (busy) return say("", "the last photo or the last words are still being worked on: wait");
  if (file.size > model.max_upload)
    return say("", `the file has ${(file.size / 1e6).toFixed(1)} MB, and the limit is ` +
      `${model.max_upload / 1e6} MB: scale the photo down`);
  busy = true;
  say(`Looking at ${file.name} …`);
  try {
    const query = new URLSearchParams({ name: file.name, instead: shown.key });
    const found = await (await ask(`look?${query}`, file)).json();
    const stored = await (await ask(`photo.jpg?photo=${found.photo}`)).blob();
    await show(found, await createImageBitmap(stored));
    shown.stem = file.name.replace(/\.[^.]*$/, "") || "photo";
    say(`${file.name}: ${found.width}x${found.height} pixels${found.note && ", " + found.note}`);
    wanted = Boolean($("words").value.trim());
    if (!wanted) $("words").focus();
  } catch (problem) {
    say("", problem.message);
  }
  busy = false;
  if (wanted) segment();
}

async function show(found, bitmap) {
  const { photo: key, width, height } = found;
  Object.assign(shown, { key, width, height, labels: null, names: [] });
  const canvas = $("picture"), pen = canvas.getContext("2d", { willReadFrequently: true });
  Object.assign(canvas, { width, height });
  canvas.style.width = `min(100%, ${70 * width / height}vh)`;
  pen.drawImage(bitmap, 0, 0);
  const { data } = pen.getImageData(0, 0, width, height);
  shown.grey = new Uint8Array(width * height);
  for (let i = 0; i < shown.grey.length; i++)
    shown.grey[i] = 0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2];
  cross = null;
  pointed = -1;
  canvas.hidden = false;
  $("hint").hidden = $("opinions").hidden = true;
  $("drop").classList.add("full");
  listNames();
}

// the words

function changed() {
  wanted = true;
  showNumbers();
  clearTimeout(timer);
  timer = setTimeout(segment, TYPING_PAUSE);
}

async function segment() {
  if (busy || !wanted || !shown.key) return;
  busy = true;
  wanted = false;
  $("drop").classList.add("stale");
  const start = performance.now();
  const lam = model.lam === null || Number($("lam").value) === model.lam ? null : Number($("lam").value);
  const asked = { photo: shown.key, words: $("words").value, background: $("background").value };
  try {
    const answer = await ask("segment",
      JSON.stringify({ ...asked, threshold: Number($("threshold").value), lam }));
    const found = await answer.json();
    shown.labels = spread(found.runs);
    shown.names = found.names;
    pointed = -1;
    $("opinions").hidden = true;
    listNames();
    draw();
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    say([`Named again in ${seconds} s.`, ...found.notes].join(" "));
  } catch (problem) {
    say("", problem.message);
  }
  $("drop").classList.remove("stale");
  busy = false;
  if (wanted) segment();
}

function spread(runs) {
  const labels = new Uint16Array(shown.width * shown.height);
  for (let i = 0, at = 0; i < runs.length; i += 2) labels.fill(runs[i], at, at += runs[i + 1]);
  return labels;
}

// the picture

function draw() {
  if (!shown.labels) return;
  const { width, height, grey, labels, names } = shown;
  const pen = $("picture").getContext("2d"), image = pen.createImageData(width, height);
  const opacity = Number($("opacity").value), pixels = image.data;
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i], colour = names[label]?.colour;
    const part = !colour ? 0 : pointed < 0 || pointed === label ? opacity : opacity / 4;
    const line = opacity && (i % width && labels[i - 1] !== label || i >= width && labels[i - width] !== label);
    for (let c = 0; c < 3; c++)
      pixels[4 * i + c] = line ? 255 : part ? grey[i] * (1 - part) + colour[c] * part : grey[i];
    pixels[4 * i + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
  const shrunk = width / ($("picture").clientWidth || width); // names are read on a phone, too
  const size = Math.round(Math.max(14 * shrunk, Math.sqrt(width * height) / 40));
  Object.assign(pen, { font: `${size}px system-ui, sans-serif`, textAlign: "center" });
  Object.assign(pen, { textBaseline: "middle", lineWidth: size / 5, lineJoin: "round" });
  Object.assign(pen, { strokeStyle: "#141414", fillStyle: "#fff" });
  for (const { name, point, named } of names)
    if (named && opacity) {
      const half = Math.min(width, pen.measureText(name).width) / 2;
      const x = Math.min(Math.max(point[0], half), width - half);
      pen.strokeText(name, x, point[1], width);
      pen.fillText(name, x, point[1], width);
    }
  if (cross) {
    pen.lineWidth = Math.max(2, size / 8);
    for (const [colour, reach] of [["#000", size + 2], ["#fff", size]]) {
      pen.strokeStyle = colour;
      pen.beginPath();
      pen.moveTo(cross[0] - reach, cross[1]);
      pen.lineTo(cross[0] + reach, cross[1]);
      pen.moveTo(cross[0], cross[1] - reach);
      pen.lineTo(cross[0], cross[1] + reach);
      pen.stroke();
    }
  }
}

function point(label) {
  if (label !== pointed) {
    pointed = label;
    draw();
  }
}

// what was found

function listNames() {
  const present = shown.names.filter((name) => name.share).sort((a, b) => b.share - a.share);
  const percent = (share) =>
    share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(share < 0.01 ? 1 : 0)} %`;
  $("legend").replaceChildren(...present.map((found) => {
    const item = document.createElement("li"), button = document.createElement("button");
    const swatch = document.createElement("span"), name = document.createElement("span");
    const label = shown.names.indexOf(found);
    button.type = "button";
    swatch.className = "swatch";
    swatch.style.background = `rgb(${found.colour})`;
    name.className = "name";
    name.textContent = found.name;
    button.append(swatch, name, percent(found.share));
    button.onclick = () => askAt(...found.point);
    button.onmouseenter = button.onfocus = () => point(label);
    button.onmouseleave = button.onblur = () => point(-1);
    item.append(button);
    return item;
  }));
  const rest = 1 - present.reduce((sum, name) => sum + name.share, 0);
  const absent = shown.names.filter((name) => !name.share).map((name) => name.name);
  $("absent").textContent = [
    rest > 1e-6 && shown.names.length ? `background ${percent(rest)}` : "",
    absent.length ? `not found: ${absent.join(", ")}` : "",
  ].filter(Boolean).join("; ");
  $("found-title").hidden = $("downloads").hidden = !shown.names.length;
}

async function askAt(x, y) {
  if (!shown.labels) return;
  try {
    const answer = await ask("at", JSON.stringify({ photo: shown.key, x, y }));
    const { name, best } = await answer.json();
    const number = (value) => value === null ? "–" : value.toFixed(2);
    $("best").replaceChildren(...best.map((one) => {
      const row = document.createElement("tr");
      for (const text of [one.name, number(one.score), number(one.head), number(one.clip)])
        row.insertCell().textContent = text;
      return row;
    }));
    $("opinions-title").textContent = `At ${x}, ${y}: ${name ?? "background"}`;
    $("opinions").hidden = false;
    cross = [x, y];
    draw();
  } catch (problem) {
    say("", problem.message);
  }
}

async function download(ending) {
  try {
    const query = new URLSearchParams({ photo: shown.key, opacity: $("opacity").value });
    const file = await (await ask(`result${ending}?${query}`)).blob();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = shown.stem + ending;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  } catch (problem) {
    say("", problem.message);
  }
}

// webcam

async function openCamera() {
  if (!navigator.mediaDevices)
    return say("", "the browser gives the webcam to pages of this machine or of https only: choose a file");
  try {
    const opened = await navigator.mediaDevices.getUserMedia({ video: true });
    closeCamera();  // of an earlier click
    stream = opened;
  } catch (problem) {
    return say("", `the webcam cannot be used (${problem.message})`);
  }
  $("video").srcObject = stream;
  $("camera").hidden = false;
  $("picture").hidden = $("hint").hidden = true;
  $("snap").focus();
}

function closeCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  $("camera").hidden = true;
  $("picture").hidden = !shown.key;
  $("hint").hidden = Boolean(shown.key);
}

function snap() {
  const video = $("video"), canvas = document.createElement("canvas");
  if (!video.videoWidth) return say("", "the webcam gives no picture yet: try again");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  closeCamera();
  canvas.toBlob((blob) => look(new File([blob], "webcam.png")), "image/png");
}

// what the user does

function pixel(x, y) {
  const within = (value, size) => Math.min(Math.max(0, Math.floor(value)), size - 1);
  return [within(x, shown.width), within(y, shown.height)];
}

function pixelOf(event) {
  const box = $("picture").getBoundingClientRect();
  return pixel((event.clientX - box.left) / box.width * shown.width,
    (event.clientY - box.top) / box.height * shown.height);
}

$("picture").addEventListener("click", (event) => askAt(...pixelOf(event)));
$("picture").addEventListener("pointermove", (event) => {
  const [x, y] = pixelOf(event), label = shown.labels?.[y * shown.width + x];
  $("pointed").hidden = label === undefined;
  $("pointed").textContent = shown.names[label]?.name ?? "background";
});
$("picture").addEventListener("pointerleave", () => { $("pointed").hidden = true; });
$("picture").addEventListener("keydown", (event) => {
  const step = event.shiftKey ? 1 : Math.ceil(Math.max(shown.width, shown.height) / 64);
  const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  if (!shown.labels || !(event.key in move || event.key === "Enter")) return;
  event.preventDefault();
  cross ??= [shown.width >> 1, shown.height >> 1];
  if (event.key === "Enter") return askAt(...cross);
  const [dx, dy] = move[event.key];
  cross = pixel(cross[0] + dx, cross[1] + dy);
  draw();
});
for (const id of ["words", "background", "threshold", "lam"]) $(id).addEventListener("input", changed);
$("opacity").addEventListener("input", () => { showNumbers(); draw(); });
$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  if ($("file").files.length) look($("file").files[0]);
  $("file").value = "";
});
for (const name of ["dragover", "dragleave", "drop"])
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) look(event.dataTransfer.files[0]);
  });
$("webcam").addEventListener("click", openCamera);
$("cancel").addEventListener("click", closeCamera);
$("snap").addEventListener("click", snap);
for (const button of document.querySelectorAll("[data-ending]"))
  button.addEventListener("click", () => download(button.dataset.ending));
waitForModel();
