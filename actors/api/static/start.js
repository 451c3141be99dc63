// Before anything is drawn: the theme that was chosen here, else the system's. And when a file of the page does not come,
// as when a laptop changes its network, the page is loaded again instead of staying empty.
"use strict";
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // a browser that keeps nothing follows the system
}

let again = false;
addEventListener("error", (event) => {
  if (again || !["SCRIPT", "LINK"].includes(event.target?.tagName)) return;
  again = true;
  setTimeout(() => location.reload(), 2000);
}, true);
