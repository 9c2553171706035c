// The report: asks for it, and saves what comes back from memory. Runs once, when the panel is there.
const body = element.querySelector("div");
let current = null, last = "", url = null;

const save = ({ name, type, data, said }) => {
  const line = body.querySelector(".nc-report-said");
  if (!data) {
    line.textContent = said;
    line.classList.add("nc-loud");
    return;
  }
  URL.revokeObjectURL(url);
  url = URL.createObjectURL(new Blob([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], { type }));
  // A link that stays: a browser may refuse what was not pressed just now.
  const link = Object.assign(document.createElement("a"), { href: url, download: name, textContent: name });
  line.replaceChildren(link, ` (${said})`);
  link.click();
};

const show = () => {
  const value = props.value;
  if (!value.answer) {
    current = value.key;
    body.innerHTML = value.html;
  } else if (value.key === current && value.answer !== last) {
    last = value.answer;
    body.querySelector(".nc-report").removeAttribute("aria-busy");
    save(value);
  }
};

body.addEventListener("click", (event) => {
  const button = event.target.closest("[data-form]");
  if (!button) return;
  const line = body.querySelector(".nc-report-said");
  line.classList.remove("nc-loud");
  line.textContent = line.dataset.waiting;
  body.querySelector(".nc-report").setAttribute("aria-busy", "true");
  trigger("make", { form: button.dataset.form });
});
watch("value", show);
show();
