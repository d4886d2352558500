// What makes the dashboard go on by itself, and easier by keys; all of it works without.
"use strict";

const root = document.documentElement;
root.classList.add("scripts");

// --- the page as it would be by now: parts that changed are brought into line, element by element, so that what is
// unfolded, selected or under the pointer stays what it is

const isAlike = (one, other) => one.nodeType === other.nodeType && one.nodeName === other.nodeName && one.id === other.id;

const alignAttributes = (from, to) => {
  const isAt = from.classList.contains("at"); // where j and k are
  for (const { name } of [...from.attributes])
    if (!to.hasAttribute(name) && !(name === "open" && from.nodeName === "DETAILS") && name !== "class") from.removeAttribute(name);
  for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  if (!to.hasAttribute("class")) from.removeAttribute("class");
  if (isAt) from.classList.add("at");
};

const align = (from, to) => {
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.data !== to.data) from.data = to.data;
    return;
  }
  if (from.nodeName === "INPUT" || from.nodeName === "SELECT") { // what a person typed or ticked is theirs
    if (from.type === "hidden" && from.value !== to.value) from.setAttribute("value", to.getAttribute("value") ?? "");
    return;
  }
  alignAttributes(from, to);
  alignChildren(from, to);
};

const alignChildren = (from, to) => {
  const known = new Map([...from.children].filter((one) => one.id).map((one) => [one.id, one]));
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const same = wanted.id ? known.get(wanted.id) : null;
    if (same && same !== at) from.insertBefore(same, at);
    if (same || (at && isAlike(at, wanted))) {
      const found = same ?? at;
      at = found.nextSibling;
      align(found, wanted);
    } else {
      from.insertBefore(document.adoptNode(wanted), at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
};

// --- parts are left alone while somebody is at them

const waiting = new Map();
const isInUse = (part) => {
  if (part.querySelector("input[type=checkbox]:checked, :is(button, a, summary, input, select):hover")) return true;
  const focus = document.activeElement;
  if (focus && focus !== document.body && part.contains(focus)) return true;
  const selection = getSelection();
  return Boolean(selection && !selection.isCollapsed && selection.rangeCount && selection.getRangeAt(0).intersectsNode(part));
};

const bring = () => {
  if (isHeld) return;
  for (const [id, html] of waiting) {
    const part = document.getElementById(`part-${id}`);
    if (part && isInUse(part)) continue;
    waiting.delete(id);
    if (!part) continue;
    const template = document.createElement("template");
    template.innerHTML = html;
    alignChildren(part, template.content);
    const title = part.querySelector("[data-title]");
    if (title) document.title = title.dataset.title;
  }
  markSelected();
  writeTimes();
};

// --- times of day are the visitor's; the server writes them in UTC

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const writeTimes = () => {
  for (const one of document.querySelectorAll("[data-at]")) {
    const text = clock.format(new Date(Number(one.dataset.at) * 1000));
    if (one.textContent !== text) one.textContent = text;
  }
};
writeTimes();

// --- the stream: open while the page is seen

const live = document.getElementById("live");
const liveText = document.getElementById("live-text");
let stream = null, isHeld = false, last = Date.now(), isLost = false;

const open = () => {
  if (stream || document.hidden || isHeld || !root.hasAttribute("data-live")) return;
  stream = new EventSource(`${root.dataset.root}/events${location.pathname.slice(root.dataset.root.length)}${location.search}`);
  stream.addEventListener("hello", (event) => {
    heard();
    if (event.data !== root.dataset.build) location.reload(); // another version of the program
  });
  stream.addEventListener("parts", (event) => {
    heard();
    for (const [id, html] of Object.entries(JSON.parse(event.data))) waiting.set(id, html);
    bring();
  });
  stream.addEventListener("alive", heard);
  stream.addEventListener("error", () => {
    isLost = true;
    tell();
    if (stream && stream.readyState === EventSource.CLOSED) { // refused; a browser does not try that again by itself
      close();
      setTimeout(open, 5000);
    }
  });
};
const close = () => {
  stream?.close();
  stream = null;
};
const heard = () => {
  last = Date.now();
  isLost = false;
  tell();
};
const tell = () => {
  if (!live) return;
  const seconds = Math.max(0, Math.round((Date.now() - last) / 1000));
  const ago = seconds < 90 ? `${seconds} s ago` : `${Math.floor(seconds / 60)} min ago`;
  const parts = waiting.size && !isHeld ? " · kept while in use" : "";
  const lost = isLost || (!isHeld && seconds > 12);
  live.classList.toggle("held", isHeld || waiting.size > 0);
  live.classList.toggle("lost", lost && !isHeld);
  const text = isHeld ? `held · ${ago}` : lost ? `no answer · ${ago}` : `live · ${ago}${parts}`;
  if (liveText.textContent !== text) liveText.textContent = text;
};
const hold = () => {
  isHeld = !isHeld;
  live.setAttribute("aria-pressed", String(isHeld));
  if (isHeld) close();
  else {
    bring();
    open();
  }
  tell();
};

if (live && root.hasAttribute("data-live")) {
  live.hidden = false;
  live.addEventListener("click", () => { hold(); live.blur(); });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else open();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  setInterval(() => { bring(); tell(); }, 500);
  open();
}

// --- selecting

const markSelected = () => {
  for (const button of document.querySelectorAll("button[data-selected]")) {
    const boxes = [...document.querySelectorAll("input[name=item][form=selected]")];
    const ticked = boxes.filter((box) => box.checked).length;
    const text = ticked ? `Retry ${ticked} selected` : "Retry selected";
    if (button.textContent !== text) button.textContent = text;
    button.disabled = !ticked;
    const all = document.querySelector("input[data-all]");
    if (all) {
      all.checked = ticked > 0 && ticked === boxes.length;
      all.indeterminate = ticked > 0 && ticked < boxes.length;
    }
  }
};
document.addEventListener("change", (event) => {
  if (event.target.matches("input[data-all]"))
    for (const box of document.querySelectorAll("input[name=item][form=selected]")) box.checked = event.target.checked;
  markSelected();
});
addEventListener("pageshow", (event) => { // back from what was done: those ticks belong to what has gone
  if (event.persisted) for (const box of document.querySelectorAll("input[form=selected]")) box.checked = false;
  markSelected();
});

// --- copying, also where the browser allows no clipboard (plain http)

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  let did = true;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    const code = button.parentElement.querySelector("code");
    getSelection().selectAllChildren(code);
    did = document.execCommand?.("copy");
  }
  button.textContent = did ? "Copied" : "Press Ctrl-C";
  button.blur();
});
for (const opener of document.querySelectorAll("[data-opens]"))
  opener.addEventListener("click", () => document.getElementById(opener.dataset.opens).showModal());

// --- keys

const isTyping = (target) => target.closest("input:not([type=checkbox]), textarea, select, dialog[open]");
const rows = () => [...document.querySelectorAll("[data-row]")];
let at = null;
const go = (step) => {
  const all = rows();
  if (!all.length) return;
  const before = all.findIndex((row) => row.classList.contains("at"));
  const next = all[Math.min(Math.max(before + step, 0), all.length - 1)];
  for (const row of all) row.classList.toggle("at", row === next);
  at = next;
  next.scrollIntoView({ block: "nearest" });
};
const keys = {
  "/": () => {
    const field = document.getElementById("q");
    if (field) field.focus();
    else location.href = `${root.dataset.root}/receipts`;
    return true;
  },
  "?": () => { document.getElementById("keys")?.showModal(); return true; },
  r: () => { if (live && !live.hidden) hold(); return true; },
  g: () => { location.href = `${root.dataset.root}/`; return true; },
  j: () => { go(1); return true; },
  k: () => { go(-1); return true; },
  Enter: () => { const link = at?.isConnected && document.activeElement === document.body && at.querySelector("h2 a, a.button"); link?.click(); return Boolean(link); },
  x: () => { const box = at?.querySelector("input[type=checkbox]"); box?.click(); return Boolean(box); },
  t: () => { const button = at?.querySelector("button[data-retry], .buttons form button"); button?.click(); return Boolean(button); },
};
document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (keys[event.key]?.()) event.preventDefault();
});

// --- a form is sent once

document.addEventListener("submit", (event) => {
  if (event.target.method !== "post" || event.defaultPrevented) return;
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "1";
});
addEventListener("pageshow", () => { for (const form of document.forms) delete form.dataset.sent; });

// --- files dropped anywhere

const drop = document.querySelector("form[data-drop]");
if (drop) {
  const list = document.getElementById("uploads");
  const input = drop.querySelector("input[type=file]");
  const queue = [];
  let busy = false;
  const add = (file) => {
    const row = document.createElement("li"), name = document.createElement("bdi"), bar = document.createElement("progress"), said = document.createElement("small");
    name.textContent = file.name;
    name.className = "name";
    bar.max = Math.max(file.size, 1);
    bar.value = 0;
    bar.setAttribute("aria-label", `sent of ${file.name}`);
    said.textContent = "waits";
    row.append(name, bar, said);
    list.append(row);
    if (file.size > Number(drop.dataset.most)) finish({ row, bar, said }, false, "It is too large for an upload. Copy it into incoming/ on the machine.");
    else queue.push({ file, row, bar, said });
  };
  const finish = (one, good, text) => {
    one.bar.remove();
    one.said.textContent = text;
    one.row.classList.toggle("bad", !good);
  };
  const send = (one) => new Promise((resolve) => {
    const request = new XMLHttpRequest(), form = new FormData();
    form.append("file", one.file);
    form.append("each", "1");
    one.said.textContent = "is being sent";
    request.upload.addEventListener("progress", (event) => { one.bar.value = Math.min(event.loaded, one.bar.max); });
    request.addEventListener("loadend", () => {
      let answer = null;
      try { answer = JSON.parse(request.responseText); } catch { /* it is told below */ }
      const told = answer?.files?.[0];
      if (told) finish(one, told.done, told.sentence);
      else finish(one, false, answer?.error ?? "The dashboard did not answer. The file was perhaps not taken: try again.");
      resolve();
    });
    request.open("POST", drop.action);
    request.setRequestHeader("Accept", "application/json");
    request.send(form);
  });
  const work = async () => {
    if (busy) return;
    busy = true;
    for (let one = queue.shift(); one; one = queue.shift()) await send(one);
    busy = false;
  };
  drop.addEventListener("submit", (event) => {
    event.preventDefault();
    delete drop.dataset.sent;
    for (const file of input.files) add(file);
    input.value = "";
    work();
  }, true);
  let depth = 0;
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => { if (hasFiles(event)) { depth += 1; document.body.classList.add("over"); } });
  addEventListener("dragleave", (event) => { if (hasFiles(event) && (depth -= 1) <= 0) { depth = 0; document.body.classList.remove("over"); } });
  addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    document.body.classList.remove("over");
    for (const item of [...event.dataTransfer.items]) {
      if (item.kind !== "file") continue;
      const entry = item.webkitGetAsEntry?.();
      if (entry?.isDirectory) continue; // a directory is no item
      const file = item.getAsFile();
      if (file) add(file);
    }
    list.scrollIntoView({ block: "nearest" });
    work();
  });
}
