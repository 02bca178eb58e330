import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { ItemwireClient } from "itemwire";
import { ItemwireProvider, useItem, useMembers, useStatus } from "itemwire/react";

const wire = new ItemwireClient({ url: "/live" }); // the session cookie is the credential

function Ask({ name, button, action }) {
  return <form action={action}><input name={name} required /> <button>{button}</button></form>;
}

function Room({ id }) {
  const [lines, setLines] = useState([]);
  const show = (line) => setLines((earlier) => [...earlier, line]);
  const room = useItem(id, {
    replay: 20,
    onMessage: ({ sender, data }) => show(`${sender}: ${data}`),
    onGap: () => show("some messages are lost"),
  });
  const names = new Set(useMembers(id).map(({ subject }) => subject));
  const say = (form) => {
    room.publish(form.get("text"), { retry: 3 }).catch((error) => show(`not sent: ${error.message}`));
  };
  return <>
    <Ask name="text" button="Say" action={say} />
    <p id="state">{useStatus()}</p>
    <p id="here">{[...names].sort().join(", ")}</p>
    <ul id="log">{lines.map((line, index) => <li key={index}>{line}</li>)}</ul>
  </>;
}

function Chat() {
  const [isIn, setIn] = useState(false);
  const login = (form) => fetch(`/login?${new URLSearchParams(form)}`, { method: "POST" }).then(() => setIn(true));
  if (!isIn) return <Ask name="name" button="Log in" action={login} />;
  return <ItemwireProvider client={wire}><Room id="room:1" /></ItemwireProvider>;
}

createRoot(document.querySelector("#root")).render(<StrictMode><Chat /></StrictMode>);
