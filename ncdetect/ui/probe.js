// Does the verdict hold: rows that are filled one after the other, and what they sound like.
(() => {
  const nc = window.ncdetect;
  const player = new Audio();
  let pressed = null;

  const stop = () => {
    player.pause();
    if (pressed) pressed.setAttribute("aria-pressed", "false");
    pressed = null;
  };
  player.addEventListener("ended", stop);
  document.addEventListener("nc-hush", stop);

  const hear = (button, sound) => {
    const again = button === pressed;
    stop();
    if (again) return;
    nc.hush();
    player.src = `data:audio/wav;base64,${sound}`;
    player.play().then(() => { player.dataset.heard = button.parentElement.dataset.damage; }, stop);
    button.setAttribute("aria-pressed", "true");
    pressed = button;
  };

  nc.probe = (element, props, ask, watch) => {
    const body = element.querySelector("div");
    let current = null, sounds = {}, drawn = {};

    const write = (html) => {
      const focused = body.contains(document.activeElement);
      stop();
      body.innerHTML = html;
      // What was pressed is gone: the reader stays at this place.
      if (focused) body.querySelector("section[tabindex]:not([hidden])")?.focus({ preventScroll: true });
    };

    const fill = (rows) => {
      for (const [damage, html] of Object.entries(rows)) {
        if (drawn[damage]) continue;
        drawn[damage] = true;
        const old = body.querySelector(`li[data-damage="${CSS.escape(damage)}"]`);
        old.insertAdjacentHTML("afterend", html);
        old.remove();
      }
    };

    const show = () => {
      const value = props.value;
      if (value.state === "ready") {
        [current, sounds, drawn] = [value.key, {}, {}];
        return write(value.html);
      }
      if (value.key !== current) return; // about an earlier clip
      if (value.state === "failed") return write(value.html);
      Object.assign(sounds, value.sounds);
      fill(value.rows);
      if (value.state !== "done") return;
      body.querySelector(".nc-probe-end").innerHTML = value.end;
      body.querySelector(".nc-probe").removeAttribute("aria-busy");
    };

    body.addEventListener("click", (event) => {
      const button = event.target.closest(".nc-probe-play");
      if (button) return hear(button, sounds[button.parentElement.dataset.damage]);
      if (!event.target.closest("[data-ask]")) return;
      body.querySelector(".nc-probe-ask").hidden = true;
      const rows = body.querySelector(".nc-probe");
      rows.hidden = false;
      rows.focus({ preventScroll: true });
      ask();
    });
    watch("value", show);
    show();
  };
})();
