// The form by which an operator asks the server how a token would be judged, check by check.

import { isolated, part } from "./dom.js";

const MARKS = new Map([[true, "ok"], [false, "failed"], [null, "not reached"]]);

/** Ask when the form is submitted, and show the answer; `question` gives token, item, action. */
export function explainBy(form, place, ask, question) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = question();
    for (const name of ["item", "action"]) if (!body[name]) delete body[name];
    try {
      const report = await ask("admin/explain", { method: "POST", body });
      place.replaceChildren(...drawReport(report));
    } catch (error) {
      place.replaceChildren(part("p", "bad", inWords(error)));
    }
  });
}

function inWords(error) {
  if (error.status === 404) return "This server has no admin API: ITEMWIRE_ADMIN=true switches it on.";
  if (error.status === 403) return "This token does not administer: its scope needs the word admin.";
  if (error.status === 401) return "The admin token is missing, or the server does not accept it.";
  return `The server gave no answer: ${error.message}`;
}

function drawReport({ accepted, reason, checks }) {
  const verdict = accepted ? "It would be accepted." : `It would be refused: ${reason}.`;
  const list = part("ol", "checks");
  for (const { check, passed, detail } of checks) {
    const line = part("li", "", part("span", "mark", MARKS.get(passed)), " ", part("b", "", check), " ");
    line.dataset.passed = String(passed);
    line.append(isolated(detail));
    list.append(line);
  }
  return [part("p", accepted ? "verdict" : "verdict bad", verdict), list];
}
