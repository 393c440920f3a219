// A link to a line of a text that is being edited leads into the field itself. Without scripts it leads to the line in
// the excerpt below it.
"use strict";

const field = document.querySelector("textarea[name=text]");

function go(line, column) {
  const before = field.value.split("\n").slice(0, line - 1).join("\n");
  const at = before.length + (line > 1 ? 1 : 0) + Math.max(0, column - 1);
  field.focus();
  field.setSelectionRange(at, at + 1);
  const height = parseFloat(getComputedStyle(field).lineHeight);
  field.scrollTop = Math.max(0, (line - 5) * height);
  field.scrollIntoView({ block: "nearest" });
}

if (field) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-line]");
    if (!link) return;
    event.preventDefault();
    go(Number(link.dataset.line), Number(link.dataset.column || 1));
  });
}
