// Several files: sends one after the other, fills its row, sorts, and hands the table over as CSV. Runs in the
// component's own scope: element, props, trigger, upload and watch are Gradio's.
const body = element.querySelector(".nc-several"), { most, largest, waits, judged } = body.dataset;
const find = (selector) => body.querySelector(selector);
const input = find("input"), drop = find(".nc-several-drop"), table = find("table"), bar = find("progress");
const stop = find("[data-stop]"), save = find("[data-csv]"), said = find(".nc-several-bar p"), spoken = find("[role=status]");
let answered = null, running = false, stopping = false, csv = "";

watch("value", () => {
  if (answered) answered(props.value);
});
const judge = (sent) => new Promise((resolve) => {
  answered = resolve;
  trigger("judge", sent);
});

const waiting = (file) => {
  const part = document.createElement("tbody"), line = part.insertRow(), name = document.createElement("th");
  part.dataset.name = file.name;
  name.scope = "row";
  name.textContent = file.name;
  line.append(name);
  const cell = line.insertCell();
  cell.colSpan = 3;
  cell.textContent = waits;
  table.append(part);
  return part;
};

const sent = async (file, index, total) => {
  const about = { name: file.name, size: file.size, file: "", index, total };
  if (file.size <= Number(largest)) {
    try {
      about.file = (await upload(file)).path;
    } catch {
      about.file = ""; // the answer says that it did not arrive
    }
  }
  return about;
};

const show = (answer) => {
  csv = answer.csv;
  said.textContent = stopping ? answer.stopped : answer.said;
};

const run = async (chosen) => {
  if (running || !chosen.length) return;
  const files = chosen.slice(0, Number(most));
  [running, stopping, input.disabled] = [true, false, true];
  find(".nc-several-many").hidden = files.length === chosen.length;
  for (const old of [...table.tBodies]) old.remove();
  unsort();
  [bar.max, bar.value, said.textContent, spoken.textContent] = [files.length, 0, "", ""];
  [stop.hidden, stop.ariaDisabled, save.hidden, find(".nc-several-run").hidden] = [false, "false", true, false];
  const parts = files.map(waiting);
  let done = 0;
  for (const [index, file] of files.entries()) {
    parts[index].rows[0].cells[1].textContent = judged;
    parts[index].classList.add("nc-several-now");
    const answer = await judge(await sent(file, index, files.length));
    parts[index].insertAdjacentHTML("afterend", answer.row);
    parts[index].remove();
    show(answer);
    bar.value = ++done;
    if (stopping) break;
  }
  for (const part of parts.slice(done)) part.remove();
  spoken.textContent = said.textContent;
  [running, input.disabled, input.value] = [false, false, ""];
  const focused = document.activeElement === stop;
  [stop.hidden, save.hidden] = [true, false];
  if (focused) save.focus({ preventScroll: true });
};

const unsort = () => table.querySelectorAll("th[aria-sort]").forEach((head) => head.removeAttribute("aria-sort"));

const sort = (button) => {
  const head = button.closest("th"), key = button.dataset.sort;
  const down = head.getAttribute("aria-sort") === "ascending";
  unsort();
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const missing = (part) => !(part.dataset[key] || ""); // such as files without a verdict: always last
  const order = (a, b) => key === "name"
    ? a.dataset.name.localeCompare(b.dataset.name, document.documentElement.lang, { numeric: true })
    : a.dataset[key] - b.dataset[key];
  const parts = [...table.tBodies].sort((a, b) => missing(a) - missing(b) || (down ? -1 : 1) * order(a, b));
  table.append(...parts);
};

const open = (part) => {
  const button = part.querySelector("[aria-expanded]"), shown = button?.getAttribute("aria-expanded") === "true";
  if (!button) return;
  button.setAttribute("aria-expanded", !shown);
  part.querySelector(".nc-several-more").hidden = shown;
};

input.addEventListener("change", () => run([...input.files]));
for (const [type, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  drop.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.toggle("nc-several-over", over && !running);
    if (type === "drop") run([...event.dataTransfer.files]);
  });
}
stop.addEventListener("click", () => {
  stopping = true;
  stop.ariaDisabled = "true"; // a disabled one would lose the focus
});
save.addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv], { type: "text/csv;charset=utf-8" }));
  link.download = "ncdetect.csv";
  link.click();
  URL.revokeObjectURL(link.href);
});
table.addEventListener("click", (event) => {
  const button = event.target.closest("[data-sort]"), line = event.target.closest("tbody tr:not(.nc-several-more)");
  if (button && !running) sort(button);
  else if (line) open(line.parentElement);
});
