// An answer while somebody types: the form around a field is sent some moments after the last key, and what comes
// back is a piece of HTML that the engine made. Without scripts the form's button does the same.
"use strict";

const PAUSE_MS = 300;

function watch(field) {
  const answer = document.getElementById(field.dataset.answer);
  let timer = 0;
  let asked = null;

  async function ask() {
    if (asked) asked.abort();
    asked = new AbortController();
    answer.setAttribute("aria-busy", "true");
    try {
      const reply = await fetch(field.dataset.typing, {
        method: "POST",
        body: new URLSearchParams(new FormData(field.form)),
        signal: asked.signal,
      });
      answer.innerHTML = await reply.text();
      answer.removeAttribute("aria-busy");
    } catch (problem) {
      if (problem.name === "AbortError") return;
      answer.textContent = "The engine does not answer.";
      answer.removeAttribute("aria-busy");
    }
  }

  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE_MS);
  });
}

document.querySelectorAll("[data-typing]").forEach(watch);
