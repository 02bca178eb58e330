// Draws at most once per animation frame, however many messages arrive in it.

/** Return a function that asks for one drawing before the next frame. */
export function oncePerFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}
