// The inbox by keyboard: walk, select, and edit what is selected.
"use strict";

const picks = document.getElementById("picks");
if (picks) {
  const boxes = [...picks.querySelectorAll("input[type=checkbox]")];
  const told = document.getElementById("selected");
  const add = document.getElementById("add");
  const form = document.getElementById("bulk");
  let at = 0;

  const tell = () => {
    const number = boxes.filter((box) => box.checked).length;
    form.querySelector(".bulk").classList.toggle("some", number > 0);
    told.textContent = number === 0 ? "Select photos to edit them together" : `Edit ${number} selected ${number === 1 ? "photo" : "photos"}`;
  };
  const go = (to) => {
    at = Math.max(0, Math.min(boxes.length - 1, to));
    boxes[at].focus();
    boxes[at].closest("li").scrollIntoView({ block: "center" });
  };
  const walking = () => boxes.includes(document.activeElement);
  // The photo above or below: of the nearest other row, the one whose middle is nearest.
  const across = (down) => {
    const middle = (box) => { const { left, right } = box.closest("li").getBoundingClientRect(); return (left + right) / 2; };
    const top = (box) => box.closest("li").offsetTop;
    const beyond = boxes.filter((box) => (down ? top(box) > top(boxes[at]) : top(box) < top(boxes[at])));
    if (!beyond.length) return;
    const row = top(down ? beyond[0] : beyond.at(-1));
    const near = (box) => Math.abs(middle(box) - middle(boxes[at]));
    go(boxes.indexOf(beyond.filter((box) => top(box) === row).reduce((one, other) => (near(other) < near(one) ? other : one))));
  };
  const edit = () => {
    if (!boxes.some((box) => box.checked)) boxes[at].checked = true;
    tell();
    add.focus();
    return true;
  };
  const actions = {
    j: () => go(walking() ? at + 1 : at),
    k: () => go(walking() ? at - 1 : at),
    x: () => { boxes[at].checked = !boxes[at].checked; boxes[at].focus(); tell(); },
    " ": () => { boxes[at].checked = !boxes[at].checked; boxes[at].focus(); tell(); },
    a: () => { const all = !boxes.every((box) => box.checked); for (const box of boxes) box.checked = all; tell(); },
    Enter: () => { location.href = boxes[at].closest("li").querySelector("a.open").href; },
    "#": edit,
    e: edit,
  };

  // The arrows walk from a photo; elsewhere they scroll, as everywhere.
  const arrows = {
    ArrowRight: () => go(at + 1),
    ArrowLeft: () => go(at - 1),
    ArrowDown: () => across(true),
    ArrowUp: () => across(false),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (event.key === "Escape" && form.contains(target) && !boxes.includes(target)) { go(at); event.preventDefault(); return; }
    if (walking() && event.key in arrows) { arrows[event.key](); event.preventDefault(); return; }
    if (isTyping(target) || !(event.key in actions)) return;
    // Space and Enter do what they do everywhere on what is neither a photo nor nothing.
    if ((event.key === " " || event.key === "Enter") && target !== document.body && target.id !== "main" && !boxes.includes(target)) return;
    actions[event.key]();
    event.preventDefault();
  });
  // Turning without a selection turns the photo one is at; before the button hears of it.
  document.addEventListener("keydown", (event) => {
    if ("[]".includes(event.key) && walking() && !boxes.some((box) => box.checked)) boxes[at].checked = true;
  }, { capture: true });
  for (const [number, box] of boxes.entries()) {
    box.addEventListener("focus", () => { at = number; });
    box.addEventListener("change", tell);
  }
  // A range, by shift and click, as everywhere.
  let last = null;
  picks.addEventListener("click", (event) => {
    const box = event.target.closest("input[type=checkbox]");
    if (!box) return;
    const number = boxes.indexOf(box);
    if (event.shiftKey && last !== null)
      for (const one of boxes.slice(Math.min(last, number), Math.max(last, number) + 1)) one.checked = box.checked;
    last = number;
    tell();
  });
  form.addEventListener("submit", (event) => {
    if (!boxes.some((box) => box.checked)) { event.preventDefault(); told.textContent = "No photo is selected"; }
  });
  tell();
}
