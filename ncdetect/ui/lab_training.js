// Training in the sampling lab: which collections, start, progress, cancel, outcome.
(() => {
  const nc = window.ncdetect;
  const EVERY_MS = 700;

  // lab: {chosen(): what is chosen, for the server; open(name): show a collection}
  nc.labTraining = (element, server, lab) => {
    const find = (selector) => element.querySelector(selector);
    const ticks = find(".nc-ticks"), told = find(".nc-running .nc-told"), plan = find(".nc-plan");
    const start = find("[data-train=start]"), cancel = find("[data-train=cancel]"), offer = find("[data-train=offer]");
    let ticked = null, offered = "", id = null, asked = 0;
    const names = () => ticked || [lab.chosen().corpus];

    const box = ({ name, title }) => {
      const label = document.createElement("label"), input = document.createElement("input");
      Object.assign(input, { type: "checkbox", value: name, checked: names().includes(name) });
      input.addEventListener("change", () => {
        ticked = [...ticks.querySelectorAll("input:checked")].map((each) => each.value);
        ask();
      });
      label.append(input, title);
      return label;
    };

    const ask = async () => {
      const ticket = ++asked, found = await server.training_plan({ ...lab.chosen(), corpora: names() });
      if (ticket !== asked) return;
      const held = document.activeElement && ticks.contains(document.activeElement) && document.activeElement.value;
      const here = found.collections.filter((entry) => entry.here);
      ticks.replaceChildren(ticks.querySelector("legend"), ...here.map(box));
      find(".nc-train-choice").hidden = !here.length;
      if (held) ticks.querySelector(`input[value="${CSS.escape(held)}"]`).focus();
      offered = found.offer || "";
      find(".nc-absent").hidden = !found.absent;
      find(".nc-absent span").textContent = found.absent || "";
      offer.hidden = !offered;
      const title = found.collections.find((entry) => entry.name === offered);
      offer.textContent = title ? nc.say("Open {title} instead", title) : "";
      plan.textContent = found.told;
      start.disabled = !found.ready;
      find(".nc-training").dataset.planned = names().join(",");
    };

    const show = (state) => {
      find(".nc-running").hidden = false;
      find(".nc-running").dataset.state = state.state;
      if (state.told !== told.textContent) told.textContent = state.told;
      if (state.share !== undefined) {
        find(".nc-progress i").style.width = `${100 * state.share}%`;
        find(".nc-progress").setAttribute("aria-valuenow", Math.round(100 * state.share));
      }
      for (const [selector, html] of [[".nc-chart", state.chart], [".nc-stands", state.table], [".nc-outcome", state.result]]) {
        const host = find(selector);
        if (html !== undefined && host.dataset.html !== html) { host.innerHTML = html; host.dataset.html = html; }
      }
    };

    const ended = (words) => {
      id = null;
      start.hidden = false;
      cancel.hidden = true;
      start.textContent = words;
    };

    const poll = async () => {
      const mine = id;
      let state = null;
      try { state = await server.training_poll({ id: mine }); } catch { /* the next one may get through */ }
      if (mine !== id || id === null) return;
      if (state) show(state);
      if (!state || state.state === "running") setTimeout(poll, EVERY_MS);
      else ended(nc.say("Train both again"));
    };

    start.addEventListener("click", async () => {
      start.hidden = true;
      cancel.hidden = false;
      cancel.disabled = true;
      show({ state: "starting", share: 0, told: nc.say("Getting ready …"), chart: "", table: "", result: "" });
      const answer = await server.training_start({ ...lab.chosen(), corpora: names() });
      if (!answer.id) {
        show({ state: answer.busy ? "busy" : "refused", told: answer.busy || answer.error });
        ended(answer.busy ? nc.say("Try again") : nc.say("Train both"));
        return;
      }
      id = answer.id;
      cancel.disabled = false;
      cancel.focus();
      poll();
    });
    cancel.addEventListener("click", async () => {
      const mine = id;
      ended(nc.say("Train both"));
      start.focus();
      show({ state: "cancelled", told: nc.say("Stopping …") });
      show({ state: "cancelled", ...(await server.training_cancel({ id: mine })) });
    });
    offer.addEventListener("click", async () => {
      ticked = null;
      await lab.open(offered);
      find(".nc-training").scrollIntoView({ block: "nearest" });
    });
    return { plan: () => ask().catch(() => {}), shown: () => { start.disabled = true; } };
  };
})();
