// Ways in for an image: a file that is chosen, dropped or pasted. The last one counts.

/**
 * @param {HTMLElement} field where files are dropped
 * @param {HTMLInputElement} input
 * @param {function(File): void} take
 */
export function watchIntake(field, input, take) {
  const first = (list) => list?.files?.[0];
  input.addEventListener("change", () => {
    const file = first(input);
    if (file) take(file);
    input.value = ""; // so that the same file can be chosen again
  });
  document.addEventListener("paste", (event) => {
    const file = first(event.clipboardData);
    if (file) take(file);
  });
  // A file that misses the field must not take the page's place.
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    field.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) field.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    field.classList.remove("over");
    const file = first(event.dataTransfer);
    if (file) take(file);
  });
}
