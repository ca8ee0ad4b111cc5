// What the pages do beyond reading and forms. Everything here is an extra: without it the pages still work.
"use strict";
document.addEventListener("htmx:configRequest", (event) => {
  const field = document.querySelector('input[name="csrf"]');
  if (field) event.detail.headers["X-CSRF-Token"] = field.value;
});

// A stream of events ends every few seconds by intent and is asked for again: that is no error to tell of.
if (window.htmx) {
  htmx.createEventSource = (url) => {
    const source = new EventSource(url, { withCredentials: true });
    source.addEventListener("error", (event) => {
      if (source.readyState === EventSource.CONNECTING) event.stopImmediatePropagation();
    });
    return source;
  };
}

function prepare(root) {
  for (const button of root.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const said = button.textContent;
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = button.dataset.copied;
      setTimeout(() => { button.textContent = said; }, 2000);
    });
  }
  for (const form of root.querySelectorAll("form[data-upload]")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send(form);
    });
  }
}

// Sends a form with its file as the browser would, and shows how much has arrived.
function send(form) {
  const bar = form.querySelector("progress"), told = form.querySelector("[data-told]"), button = form.querySelector("[type=submit]");
  const request = new XMLHttpRequest();
  const show = (text) => { told.textContent = text; told.hidden = !text; };
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "text/html");
  request.setRequestHeader("X-Upload", "script");
  button.disabled = true;
  bar.hidden = false;
  show("");
  request.upload.onprogress = (event) => { if (event.lengthComputable) { bar.max = event.total; bar.value = event.loaded; } };
  request.onload = () => {
    const where = request.getResponseHeader("X-Go-To");
    if (request.status === 200 && where) { location.assign(where); return; }
    const page = new DOMParser().parseFromString(request.responseText, "text/html");
    const found = page.querySelector("#main .alert");
    show(found ? found.textContent : form.dataset.failed);
    button.disabled = false;
    bar.hidden = true;
  };
  request.onerror = () => { show(form.dataset.failed); button.disabled = false; bar.hidden = true; };
  request.send(new FormData(form));
}

const here = document.querySelector(".side [aria-current]");
if (here) here.parentElement.parentElement.parentElement.scrollLeft = here.offsetLeft - 40;
prepare(document);
document.addEventListener("htmx:afterSettle", (event) => prepare(event.target));
