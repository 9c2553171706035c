// Presenter mode: `?present` in the address. What to say, point by point, and the clips at hand; Escape ends it.
(() => {
  const nc = window.ncdetect;
  const PATIENCE_MS = 20000;

  // The element, as soon as it is there; null if it never comes.
  const seen = (find) => new Promise((done) => {
    const found = find();
    if (found) return done(found);
    const end = (element) => { watcher.disconnect(); clearTimeout(timer); done(element); };
    const watcher = new MutationObserver(() => { const late = find(); if (late) end(late); });
    const timer = setTimeout(() => end(null), PATIENCE_MS);
    watcher.observe(document.body, { childList: true, subtree: true });
  });

  const openTab = (name) => document.getElementById(`tab-${name}-button`)?.click();

  // Something new inside the element, or patience at its end.
  const changed = (element) => new Promise((done) => {
    const end = () => { watcher.disconnect(); clearTimeout(timer); done(); };
    const watcher = new MutationObserver(end), timer = setTimeout(end, PATIENCE_MS);
    watcher.observe(element, { childList: true, subtree: true });
  });

  const run = async (clip) => {
    openTab("check");
    const card = () => document.querySelector(`#tabs [data-clip="${CSS.escape(clip)}"]`);
    if (!card()) document.querySelector("#more-clips .label-wrap:not(.open)")?.click();
    const button = await seen(card), verdict = document.querySelector("#verdict");
    if (!button || !verdict) return;
    const judged = changed(verdict);
    button.click();
    await judged;
  };

  const typing = (target) => target.closest("input:not([type=range]), textarea, select, [contenteditable=true]");

  nc.present = (element) => {
    if (!new URLSearchParams(location.search).has("present")) return;
    const bar = element.querySelector(".nc-present"), points = [...bar.querySelectorAll("li")];
    const runs = [...bar.querySelectorAll(".nc-present-clips button")];
    const [back, next] = bar.querySelectorAll("[data-turn]");
    let place = 0, playing = "";

    const play = (clip) => {
      playing = clip;
      for (const button of runs) button.setAttribute("aria-pressed", button.dataset.run === clip);
      return run(clip);
    };

    const show = () => {
      points.forEach((point, number) => { point.hidden = number !== place; });
      bar.querySelector(".nc-present-place").textContent =
        nc.say("{place} of {points}", { place: place + 1, points: points.length });
      back.disabled = place === 0;
      next.disabled = place === points.length - 1;
    };

    const goTo = async (wanted) => {
      if (wanted < 0 || wanted >= points.length || wanted === place) return;
      place = wanted;
      show();
      const { at, tab, run: clip } = points[place].dataset;
      openTab(tab);
      if (clip && clip !== playing) await play(clip);
      const target = at && await seen(() => document.querySelector(`${at}:not(:empty)`));
      if (place !== wanted) return; // somebody is faster than the page
      const top = target ? target.getBoundingClientRect().top + scrollY - 16 : 0;
      scrollTo({ top, behavior: nc.calm() ? "auto" : "smooth" });
    };

    const end = () => {
      document.documentElement.classList.remove("nc-presenting");
      document.removeEventListener("keydown", onKey);
      fits.disconnect();
      bar.hidden = true;
      const address = new URL(location.href);
      address.searchParams.delete("present");
      history.replaceState(history.state, "", address);
    };

    const onKey = (event) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Escape") return end();
      if (typing(event.target)) return;
      const key = event.key.toLowerCase();
      if (key === "n") goTo(place + 1);
      else if (key === "b") goTo(place - 1);
      else if (key >= "1" && key <= "9" && runs[key - 1]) play(runs[key - 1].dataset.run);
    };

    bar.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if (button.dataset.turn) goTo(place + Number(button.dataset.turn));
      else if (button.dataset.run) play(button.dataset.run);
      else end();
    });
    document.addEventListener("keydown", onKey);
    // Nothing of the page lies under the bar for good.
    const fits = new ResizeObserver(() => {
      document.documentElement.style.setProperty("--nc-present-height", `${bar.offsetHeight}px`);
    });
    fits.observe(bar);
    document.documentElement.classList.add("nc-presenting");
    bar.hidden = false;
    show();
  };
})();
