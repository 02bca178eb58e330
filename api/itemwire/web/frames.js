// Draws at most once per animation frame, however many messages arrive in it.

/** Return a function that requests a drawing before the next frame, at most one per frame. */
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
