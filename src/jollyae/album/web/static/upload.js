// Upload by dropping: one request for each file, so each has its progress, then a question every second or so whether
// the photo is there.
"use strict";

const form = document.getElementById("upload");
const uploads = document.getElementById("uploads");
const told = document.getElementById("told");
const again = document.getElementById("again");
const input = form.querySelector("input[type=file]");
const token = form.querySelector("input[name=token]").value;
const most = Number(form.dataset.most);
const AT_ONCE = 2;
const waiting = [];
const unsent = []; // what may be sent once more
const pending = new Set(); // not a map by id: one photo may have been sent under two names
let active = 0, all = 0, there = 0, refused = 0;

input.required = false;
document.getElementById("send").hidden = true;

const element = (name, text = "", className = "") => {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
};

const tell = () => {
  const left = waiting.length + active, looked = [...pending].filter(({ trouble }) => !trouble).length;
  const parts = [`${there} of ${all} in the album`];
  if (left) parts.push(`${left} still to be sent`);
  if (looked) parts.push(`${looked} being looked at`);
  if (unsent.length) parts.push(`${unsent.length} not sent`);
  if (refused || pending.size > looked) parts.push("the others say why they are not");
  told.textContent = all ? `${parts.join("; ")}.` : "";
  again.hidden = !unsent.length;
};

again.addEventListener("click", () => {
  input.focus(); // the button goes, and the focus would go with it
  for (const one of unsent.splice(0)) {
    say(one.tile, "waits");
    waiting.push(one);
  }
  next();
});

const say = (tile, text, isWrong = false) => {
  const line = tile.querySelector("small");
  line.textContent = text;
  line.classList.toggle("wrong", isWrong);
  const bar = tile.querySelector("progress");
  if (bar) bar.hidden = isWrong;
};

const refuse = (tile, why) => {
  refused += 1;
  say(tile, why, true);
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
    all += 1;
    if (file.size > most) refuse(tile, "is too large for this album");
    else if (file.size === 0) refuse(tile, "is empty");
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
  bar.value = 0;
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
      bar.remove();
      say(tile, "is being looked at");
      pending.add({ tile, id: one.id, name: one.name, since: Date.now() });
      ask(500);
    } else {
      unsent.push({ file, tile });
      say(tile, one?.error || request.response?.error || "was not sent: the server does not answer.", true);
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
  for (const { id, name } of [...pending].slice(0, 100)) {
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
  const oldest = Math.min(...[...pending].map(({ since }) => since));
  ask(Math.min(10000, 700 + (Date.now() - oldest) / 10));
};

const show = (photo) => {
  for (const one of pending) {
    if (one.id !== photo.id) continue;
    if (photo.page) appear(one, photo);
    else if (one.name === photo.name && photo.trouble) {
      one.trouble = photo.trouble;
      say(one.tile, photo.trouble, true);
    }
  }
};

const appear = (one, photo) => {
  pending.delete(one);
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
