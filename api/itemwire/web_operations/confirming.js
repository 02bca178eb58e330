// Asks before something that cannot be undone.

const dialog = document.getElementById("confirm");
const yes = document.getElementById("confirm-yes");

/** Ask, and return whether the answer was yes; Escape is no. */
export function confirmed(text, act) {
  document.getElementById("confirm-text").textContent = text;
  yes.textContent = act;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

document.getElementById("confirm-no").addEventListener("click", () => dialog.close(""));
yes.addEventListener("click", () => dialog.close("yes"));
