// The slideshow: photos come in batches and the next one is loaded before it is shown.
"use strict";

document.documentElement.classList.add("scripts");
const show = document.getElementById("show");
const pause = document.getElementById("pause");
const SECONDS = 6;
let slides = [], at = -1, more = show.dataset.more, timer = 0, idle = 0, asking = null;
let paused = matchMedia("(prefers-reduced-motion: reduce)").matches;

const first = show.querySelector("figure");
slides.push({
  src: first.querySelector("img").src,
  alt: first.querySelector("img").alt,
  page: first.querySelector("a").href,
  text: first.querySelector("a").textContent,
});
at = 0;

const fetchMore = () => {
  asking ??= (async () => {
    try {
      const answer = await fetch(more || show.dataset.again, { headers: { Accept: "application/json" } });
      const found = answer.ok ? await answer.json() : { slides: [], more };
      slides.push(...found.slides);
      more = found.more;
      if (slides.length > 400) { at -= 200; slides = slides.slice(200); }
    } catch {
      // tried again at the next slide
    } finally {
      asking = null;
    }
  })();
  return asking;
};

const go = async (by) => {
  clearTimeout(timer);
  if (at + by >= slides.length) await fetchMore();
  if (at + by >= slides.length) await fetchMore(); // the end was reached: from the beginning
  const to = Math.max(0, Math.min(slides.length - 1, at + by));
  if (to !== at) await put(to);
  if (slides.length - at < 8) fetchMore();
  plan();
};

const put = async (to) => {
  at = to;
  const slide = slides[to], image = new Image();
  image.src = slide.src;
  image.alt = slide.alt;
  try { await image.decode(); } catch { /* its text is shown instead */ }
  if (at !== to) return;
  const figure = document.createElement("figure"), caption = document.createElement("figcaption");
  const link = document.createElement("a"), name = document.createElement("bdi");
  name.textContent = slide.text ?? slide.alt;
  link.href = slide.page;
  link.append(name);
  caption.append(link);
  figure.append(image, caption);
  figure.className = "comes";
  const before = show.querySelectorAll("figure");
  show.querySelector(".controls").before(figure);
  setTimeout(() => before.forEach((one) => one.remove()), 850);
  if (slides[to + 1]) new Image().src = slides[to + 1].src;
};

const plan = () => {
  clearTimeout(timer);
  if (!paused) timer = setTimeout(() => go(1), SECONDS * 1000);
};

const setPaused = (value) => {
  paused = value;
  pause.setAttribute("aria-pressed", String(value));
  pause.textContent = value ? "Go on" : "Pause";
  plan();
};

const full = () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen?.());
const wake = () => {
  document.body.classList.remove("idle");
  clearTimeout(idle);
  idle = setTimeout(() => { if (!paused) document.body.classList.add("idle"); }, 3000);
};

pause.addEventListener("click", () => setPaused(!paused));
document.getElementById("back").addEventListener("click", () => go(-1));
document.getElementById("full").addEventListener("click", full);
document.getElementById("next").addEventListener("click", (event) => { event.preventDefault(); go(1); });
document.addEventListener("keydown", (event) => {
  wake();
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isButton = event.target.closest("a, button");
  const actions = {
    ArrowRight: () => go(1), ArrowLeft: () => go(-1), f: full,
    Escape: () => { if (!document.fullscreenElement) document.getElementById("leave").click(); },
    ...(isButton ? {} : { " ": () => setPaused(!paused) }),
  };
  if (event.key in actions) { actions[event.key](); event.preventDefault(); }
});
for (const name of ["mousemove", "touchstart", "focusin"]) document.addEventListener(name, wake, { passive: true });

let from = null;
show.addEventListener("touchstart", (event) => { from = event.touches.length === 1 ? event.touches[0] : null; }, { passive: true });
show.addEventListener("touchend", (event) => {
  if (!from) return;
  const x = event.changedTouches[0].clientX - from.clientX;
  from = null;
  if (Math.abs(x) > 60) go(x < 0 ? 1 : -1);
}, { passive: true });

setPaused(paused);
wake();
fetchMore();
