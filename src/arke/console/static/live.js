// What happens, as it happens: a list that is fed by server-sent events, each of them a piece of HTML that the engine
// made. A piece with `data-into` takes the place of what stands in the element of that id. Without scripts the list stays
// as it was loaded.
"use strict";

const NEWEST = 200;

function follow(list) {
  const button = document.querySelector(`[data-pauses="${list.id}"]`);
  let source = null;

  function open() {
    source = new EventSource(list.dataset.feed);
    // A browser comes again by itself after a broken connection, but not after a refusal.
    source.onerror = () => {
      if (source === null || source.readyState !== EventSource.CLOSED) return;
      const ended = document.createElement("li");
      ended.textContent = "No more comes: others watch already, or you are signed out. Reload the page.";
      list.prepend(ended);
    };
    source.onmessage = (event) => {
      const made = document.createElement("template");
      made.innerHTML = event.data;
      for (const piece of made.content.querySelectorAll("[data-into]")) {
        document.getElementById(piece.dataset.into).replaceChildren(piece);
      }
      list.prepend(made.content);
      while (list.children.length > NEWEST) list.lastElementChild.remove();
    };
  }

  function close() {
    source.close();
    source = null;
  }

  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => {
      if (source) close();
      else open();
      button.setAttribute("aria-pressed", String(!source));
    });
  }
  open();
}

document.querySelectorAll("[data-feed]").forEach(follow);
