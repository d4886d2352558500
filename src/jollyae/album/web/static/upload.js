// Upload by dropping: one request for each file, so each has its progress, then a question every second or so whether
// the photo is there.
"use strict";

const form = document.getElementById("upload");
const uploads = document.getElementById("uploads");
const told = document.getElementById("told");
const input = form.querySelector("input[type=file]");
const token = form.querySelector("input[name=token]").value;
const most = Number(form.dataset.most);
const AT_ONCE = 2;
const waiting = [];
const pending = new Map();
let active = 0, sent = 0, there = 0;

input.required = false;
document.getElementById("send").hidden = true;

const element = (name, text = "", className = "") => {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
};

const troubled = () => [...pending.values()].filter(({ trouble }) => trouble).length;

const tell = () => {
  const left = waiting.length + active;
  told.textContent = left ? `${left} still to be sent, ${there} in the album.`
    : pending.size > troubled() ? `${sent} sent, ${there} in the album; the others are being looked at.`
    : pending.size ? `${there} of ${sent} in the album; the others say why they are not.`
    : sent ? `${there} of ${sent} in the album.` : "";
};

const say = (tile, text, isWrong = false) => {
  const line = tile.querySelector("small");
  line.textContent = text;
  line.classList.toggle("wrong", isWrong);
  if (isWrong) tile.querySelector("progress")?.remove();
};

const add = (files) => {
  for (const file of files) {
    const tile = element("li"), inside = element("span", "", "bare"), bar = element("progress");
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", `Upload of ${file.name}`);
    inside.append(element("bdi", file.name), element("small", "waits"), bar);
    tile.append(inside);
    uploads.prepend(tile);
    if (file.size > most) say(tile, "is too large for this album", true);
    else if (file.size === 0) say(tile, "is empty", true);
    else waiting.push({ file, tile });
  }
  next();
};

const next = () => {
  while (active < AT_ONCE && waiting.length) send(waiting.shift());
  tell();
};

const send = ({ file, tile }) => {
  active += 1;
  const bar = tile.querySelector("progress"), request = new XMLHttpRequest(), data = new FormData();
  data.append("photo", file);
  request.open("POST", form.action);
  request.setRequestHeader("X-CSRF-Token", token);
  request.setRequestHeader("Accept", "application/json");
  request.responseType = "json";
  request.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable) bar.value = event.loaded / event.total;
  });
  request.addEventListener("loadstart", () => say(tile, "is being sent"));
  request.addEventListener("loadend", () => {
    active -= 1;
    const one = request.response?.taken?.[0];
    if (request.status === 200 && one && !one.error) {
      sent += 1;
      bar.remove();
      say(tile, "is being looked at");
      pending.set(one.id, { tile, name: one.name, since: Date.now() });
      ask(500);
    } else {
      say(tile, one?.error || request.response?.error || "was not sent: the server does not answer. Try again.", true);
    }
    next();
  });
  request.send(data);
};

let timer = 0;
const ask = (after) => {
  if (!timer && pending.size) timer = setTimeout(look, after);
};

const look = async () => {
  timer = 0;
  const query = new URLSearchParams();
  for (const [id, { name }] of [...pending].slice(0, 100)) {
    query.append("id", id);
    query.append("name", name);
  }
  try {
    const answer = await fetch(`/upload/state?${query}`, { headers: { Accept: "application/json" } });
    for (const photo of answer.ok ? (await answer.json()).photos : []) show(photo);
  } catch {
    // asked again below
  }
  tell();
  const oldest = Math.min(...[...pending.values()].map(({ since }) => since));
  ask(Math.min(10000, 700 + (Date.now() - oldest) / 10));
};

const show = (photo) => {
  const one = pending.get(photo.id);
  if (!one) return;
  if (!photo.page) {
    one.trouble = photo.trouble;
    if (photo.trouble) say(one.tile, photo.trouble, true);
    return;
  }
  pending.delete(photo.id);
  there += 1;
  const link = element("a");
  link.href = photo.page;
  if (photo.src) {
    const image = element("img");
    image.src = photo.src;
    image.alt = photo.alt;
    image.width = photo.width;
    image.height = photo.height;
    link.append(image);
  } else {
    link.append(element("span", photo.alt, "bare"));
  }
  one.tile.replaceChildren(link);
};

input.addEventListener("change", () => { add(input.files); input.value = ""; });
form.addEventListener("submit", (event) => { event.preventDefault(); add(input.files); input.value = ""; });

let over = 0;
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
document.addEventListener("dragenter", (event) => {
  if (hasFiles(event)) { over += 1; document.body.classList.add("over"); }
});
document.addEventListener("dragleave", (event) => {
  if (hasFiles(event) && --over <= 0) { over = 0; document.body.classList.remove("over"); }
});
document.addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
document.addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  over = 0;
  document.body.classList.remove("over");
  add(event.dataTransfer.files);
});
