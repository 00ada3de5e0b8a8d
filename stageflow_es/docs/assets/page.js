"use strict";
(() => {
  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const nothing = document.getElementById("nothing");
  const cards = [...document.querySelectorAll(".card.stage")];
  const picks = [...document.querySelectorAll("[data-pick]")];
  let picked = "";

  function show() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const card of cards) {
      const category = card.closest(".category").dataset.category;
      const fits = (!picked || category === picked) && words.every((word) => card.dataset.words.includes(word));
      card.hidden = !fits;
      count += fits;
    }
    for (const category of document.querySelectorAll(".category")) {
      category.hidden = !category.querySelector(".card:not([hidden])");
    }
    for (const pick of picks) pick.setAttribute("aria-pressed", String(pick.dataset.pick === picked));
    found.textContent = `${count} of ${cards.length} stages`;
    nothing.hidden = count > 0;
  }

  function remember() {
    const state = new URLSearchParams();
    if (search.value) state.set("q", search.value);
    if (picked) state.set("category", picked);
    history.replaceState(null, "", String(state) ? `#?${state}` : "#");
  }

  function recall() {
    if (!location.hash.startsWith("#?")) return;
    const state = new URLSearchParams(location.hash.slice(2));
    search.value = state.get("q") ?? "";
    const wanted = state.get("category") ?? "";
    picked = picks.some((pick) => pick.dataset.pick === wanted) ? wanted : "";
    show();
  }

  search.addEventListener("input", () => { show(); remember(); });
  for (const pick of picks) {
    pick.addEventListener("click", () => { picked = pick.dataset.pick; show(); remember(); });
  }
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement;
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) { event.preventDefault(); search.focus(); }
    if (event.key === "Escape" && typing) { search.value = ""; show(); remember(); }
  });
  addEventListener("hashchange", recall);

  for (const block of document.querySelectorAll("pre.json")) {
    const copy = document.createElement("button");
    copy.type = "button";
    copy.className = "copy";
    copy.textContent = "copy";
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(block.querySelector("code").textContent);
        copy.textContent = "copied";
      } catch {
        getSelection().selectAllChildren(block.querySelector("code"));
        copy.textContent = "selected";
      }
      setTimeout(() => { copy.textContent = "copy"; }, 1500);
    });
    block.append(copy);
  }
  recall();
})();
