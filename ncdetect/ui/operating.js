// The operating point: what a stricter or a more lenient setting does to 100 voices, and to this clip.
(() => {
  const nc = window.ncdetect;
  const PLACE = "ncdetect-operating-step", ROOM = 9; // per cent of a bar that a sign and a number need
  nc.operatingPoint = { offset: 0, sentence: "" };

  const kept = () => {
    try { return Number(sessionStorage.getItem(PLACE)) || 0; } catch { return 0; }
  };
  const keep = (step) => {
    try { sessionStorage.setItem(PLACE, step); } catch { /* a browser may forbid it */ }
  };

  const callings = {
    real: () => nc.say("At this setting, this clip is likely real."),
    fake: () => nc.say("At this setting, this clip is likely fake."),
    undecided: () => nc.say("At this setting, this clip is undecided."),
  };
  const bars = {
    real: {
      said: (values) => nc.say("Of 100 real voices, about {wrong} would be called fake and {open} left undecided.", values),
      interval: (values) => nc.say("95 % intervals: {wrongLow} to {wrongHigh} called fake, {openLow} to {openHigh} undecided; {clips} test clips.", values),
      split: (wrong, open) => ({ real: 100 - wrong - open, undecided: open, fake: wrong }),
    },
    fake: {
      said: (values) => nc.say("Of 100 fakes, about {wrong} would pass as real and {open} be left undecided.", values),
      interval: (values) => nc.say("95 % intervals: {wrongLow} to {wrongHigh} pass as real, {openLow} to {openHigh} undecided; {clips} test clips.", values),
      split: (wrong, open) => ({ real: wrong, undecided: open, fake: 100 - wrong - open }),
    },
  };

  const meaning = (offset) => {
    if (!offset) return nc.say("As shipped: as if real voices and fakes were equally common.");
    const times = nc.number(Math.exp(Math.abs(offset)), { maximumSignificantDigits: 2 });
    return offset > 0
      ? nc.say("Judged as if fakes were {times} times as common as real voices.", { times })
      : nc.say("Judged as if real voices were {times} times as common as fakes.", { times });
  };
  const spoken = (step, steps) => {
    if (!step) return nc.say("as shipped");
    return step > 0
      ? nc.say("{n} of {steps} steps towards accusing a real voice", { n: step, steps })
      : nc.say("{n} of {steps} steps towards missing a fake", { n: -step, steps });
  };

  nc.operating = (element, props, watch) => {
    const body = element.querySelector("div");
    let part = null, step = kept();

    const fill = (label, figures, clips) => {
      const bar = body.querySelector(`.nc-op-bar[data-label=${label}]`);
      const [wrong, wrongLow, wrongHigh, open, openLow, openHigh] = figures;
      const values = { wrong, wrongLow, wrongHigh, open, openLow, openHigh, clips: nc.number(clips) };
      bar.querySelector(".nc-op-said").textContent = bars[label].said(values);
      bar.querySelector(".nc-op-interval").textContent = bars[label].interval(values);
      Object.values(bars[label].split(wrong, open)).forEach((count, place) => {
        const segment = bar.querySelectorAll(".nc-op-hundred i")[place];
        segment.style.width = `${count}%`;
        segment.classList.toggle("nc-op-narrow", count < ROOM);
        segment.querySelector("b").textContent = count;
        bar.querySelectorAll(".nc-legend b")[place].textContent = count;
      });
      return bars[label].said(values);
    };

    const tell = () => {
      const { offsets, words, sets, clips, shapes } = props.value, steps = (offsets.length - 1) / 2;
      const range = body.querySelector("input"), offset = offsets[step + steps], word = words[step + steps];
      const figures = sets[part][step + steps];
      range.value = step;
      range.setAttribute("aria-valuetext", spoken(step, steps));
      const sentences = [
        fill("real", figures.slice(0, 6), clips[part][0]), fill("fake", figures.slice(6), clips[part][1]),
      ];
      const clip = body.querySelector(".nc-op-clip");
      clip.innerHTML = `${shapes[word]}<span><b></b> <span></span></span>`;
      clip.querySelector("b").textContent = callings[word]();
      clip.querySelector("span span").textContent = nc.say("The card above shows the setting as shipped.");
      body.querySelector(".nc-op-means").textContent = meaning(offset);
      body.querySelector("[data-reset]").disabled = !step;
      nc.operatingPoint = { offset, sentence: [...sentences, callings[word]()].join(" ") };
    };

    const move = (to) => {
      step = to;
      keep(step);
      tell();
    };

    const show = () => {
      body.innerHTML = props.value.html;
      if (!props.value.html) {
        nc.operatingPoint = { offset: 0, sentence: "" };
        return;
      }
      const steps = (props.value.offsets.length - 1) / 2, parts = Object.keys(props.value.sets);
      step = Math.max(-steps, Math.min(steps, Math.round(step)));
      part = parts.includes(part) ? part : parts[0];
      nc.choice(body.querySelector("[role=radiogroup]"), (value) => { part = value; tell(); })(part);
      body.querySelector("input").addEventListener("input", (event) => move(Number(event.target.value)));
      body.querySelector("[data-reset]").addEventListener("click", () => {
        body.querySelector("input").focus();
        move(0);
      });
      tell();
    };

    watch("value", show);
    show();
  };
})();
