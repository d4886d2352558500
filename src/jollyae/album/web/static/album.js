// What makes the pages more comfortable; all of them work without it.
"use strict";

document.documentElement.classList.add("scripts");

const isTyping = (target) => target.closest("input:not([type=checkbox], [type=radio]), textarea, select, dialog[open]");
const follow = (selector) => {
  const link = document.querySelector(selector);
  if (link) location.href = link.href;
  return Boolean(link);
};

// --- where one is can be read in the row of places, also where that is wider than the screen

const places = document.querySelector(".places");
const current = places?.querySelector("[aria-current]");
if (current && places.scrollWidth > places.clientWidth) {
  const row = places.getBoundingClientRect(), here = current.getBoundingClientRect();
  places.scrollLeft += here.left + here.width / 2 - row.left - row.width / 2;
}

// --- what was typed and not sent is not lost by a key, and by nothing else without a question

const written = [...document.querySelectorAll("#edit-form, form[action*='/comment']")];
let sent = null;
const isChanged = (field) => {
  if (field.options) return !([...field.options].find((one) => one.defaultSelected) ?? field.options[0]).selected;
  if (field.type === "checkbox") return field.checked !== field.defaultChecked;
  if (!("defaultValue" in field)) return false;
  const before = field.cloneNode();
  before.value = field.defaultValue; // a field may write it otherwise than the page did: a time without its 00 seconds
  return field.value !== before.value;
};
const isEdited = () => written.some((form) => form !== sent && [...form.elements].some(isChanged));
for (const form of written) form.addEventListener("submit", () => { sent = form; });
addEventListener("pageshow", () => { sent = null; }); // back from where it was sent to
addEventListener("beforeunload", (event) => { if (isEdited()) event.preventDefault(); });

// --- keys: what a page offers by data-key, and what all have

const keys = {
  ArrowLeft: () => document.querySelector(".stage") && !isEdited() && follow("a[rel=prev]"),
  ArrowRight: () => document.querySelector(".stage") && !isEdited() && follow("a[rel=next]"),
  u: () => !isEdited() && follow("a[rel=up]"),
  "/": () => { document.getElementById("q")?.focus(); return true; },
  "?": () => { document.getElementById("keys")?.showModal(); return true; },
  e: () => {
    const panel = document.querySelector("details#edit");
    if (!panel) return false;
    panel.open = true;
    panel.querySelector("input:not([type=hidden])").focus();
    return true;
  },
};

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const button = document.querySelector(`button[data-key="${CSS.escape(event.key)}"]`);
  const did = button ? (button.click(), true) : keys[event.key]?.();
  if (did) event.preventDefault();
});

for (const opener of document.querySelectorAll("[data-opens]"))
  opener.addEventListener("click", () => document.getElementById(opener.dataset.opens).showModal());

if (location.hash === "#edit") document.querySelector("details#edit")?.setAttribute("open", "");

// --- the neighbours' pictures are there before one goes to them

addEventListener("load", () => {
  for (const link of document.querySelectorAll("[data-soon]")) new Image().src = link.dataset.soon;
});

// --- a finger drawn over the photo

const stage = document.querySelector("[data-swipe]");
if (stage) {
  let from = null;
  stage.addEventListener("touchstart", (event) => {
    from = event.touches.length === 1 ? event.touches[0] : null;
  }, { passive: true });
  stage.addEventListener("touchend", (event) => {
    if (!from || (window.visualViewport && visualViewport.scale > 1.05)) return;
    const to = event.changedTouches[0], x = to.clientX - from.clientX, y = to.clientY - from.clientY;
    from = null;
    if (Math.abs(x) > 60 && Math.abs(x) > 2 * Math.abs(y)) follow(x < 0 ? ".stage a[rel=next]" : ".stage a[rel=prev]");
  }, { passive: true });
}

// --- a list goes on by itself; after many photos one has to ask, so that the page stays light

const list = document.getElementById("list");
if (list) {
  const most = 3000;
  let busy = false;
  const more = async (link) => {
    if (busy) return;
    busy = true;
    try {
      const answer = await fetch(link.href, { credentials: "same-origin" });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      link.closest("p").remove();
      for (const section of [...page.querySelectorAll("#list > section[data-key]")]) {
        const last = list.querySelector(":scope > section:last-of-type");
        if (last && last.dataset.key === section.dataset.key) {
          last.querySelector(".grid").append(...section.querySelectorAll(".grid > li"));
        } else {
          section.removeAttribute("aria-labelledby");
          section.querySelector("h2")?.removeAttribute("id");
          list.append(document.adoptNode(section));
        }
      }
      const next = page.querySelector("a[data-more]");
      if (next) {
        list.append(document.adoptNode(next.closest("p")));
        watch();
      }
    } catch {
      // the link is still there to be clicked
    } finally {
      busy = false;
    }
  };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      if (list.querySelectorAll(".grid > li").length < most) more(entry.target);
    }
  }, { rootMargin: "1600px" });
  const watch = () => {
    const link = list.querySelector("a[data-more]");
    if (link) seen.observe(link);
  };
  watch();
}

// --- the last word of a list of tags is completed from those that are known

for (const input of document.querySelectorAll("input[data-words]")) {
  const known = [...document.querySelectorAll("#known-tags option")].map((option) => option.value);
  const suggestions = document.createElement("datalist");
  suggestions.id = `words-${input.name}`;
  input.after(suggestions);
  input.setAttribute("list", suggestions.id);
  const fill = () => {
    const words = input.value.split(","), last = words.pop().trim().toLowerCase();
    const before = words.map((word) => word.trim()).filter(Boolean);
    const found = last ? known.filter((word) => word.toLowerCase().startsWith(last) && !before.includes(word)) : [];
    suggestions.replaceChildren(...found.slice(0, 12).map((word) => {
      const option = document.createElement("option");
      option.value = [...before, word].join(", ");
      return option;
    }));
  };
  input.addEventListener("input", fill);
}

// --- conflicts: who writes a value of their own means it

for (const own of document.querySelectorAll("[data-own]"))
  own.addEventListener("input", () => { own.closest(".side").querySelector("input[type=radio]").checked = true; });
