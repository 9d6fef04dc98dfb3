// What stands between index.html and the WebAssembly: it says in plain words when that does not
// come, or stops. A file of its own, because the content security policy allows no inline script.
(() => {
  "use strict";
  const PATIENCE_MS = 10000;
  let started = false;
  let problem = "";

  const show = () => {
    const text = document.getElementById("boot-text");
    if (started || !problem || !text) return;
    text.textContent = problem;
    text.setAttribute("role", "alert");
    document.getElementById("boot-reload").hidden = false;
  };
  const fail = (text) => {
    // The first reason is the cause; what follows are its effects.
    problem ||= text;
    show();
  };
  const crash = () => {
    const box = document.getElementById("crash");
    if (box) box.hidden = false;
  };

  if (typeof WebAssembly !== "object" || typeof WebAssembly.instantiate !== "function") {
    fail(
      "These pages need WebAssembly, which this browser does not have or does not allow. " +
        "A current version of Firefox, Chrome, Edge or Safari has it; some browsers switch it off in their strictest security mode.",
    );
  }
  addEventListener("TrunkApplicationStarted", () => {
    started = true;
  });
  addEventListener("countersign-panic", crash);
  document.addEventListener("DOMContentLoaded", show);
  addEventListener(
    "error",
    (event) => {
      // A file that did not load: such an event has a target, no message, and does not bubble.
      if (event.target instanceof HTMLScriptElement || event.target instanceof HTMLLinkElement) {
        fail("A part of this page could not be loaded. Check your connection and reload the page.");
      } else if (started && event.error instanceof WebAssembly.RuntimeError) {
        crash();
      } else if (!started) {
        fail("This page could not be started. Reload it; if that does not help, update your browser.");
      }
    },
    true,
  );
  addEventListener("unhandledrejection", (event) => {
    if (started) {
      if (event.reason instanceof WebAssembly.RuntimeError) crash();
    } else if (event.reason instanceof WebAssembly.CompileError) {
      fail("This browser does not allow or does not understand the WebAssembly of this page. Allow it for this site, or update your browser.");
    } else {
      fail("A part of this page could not be loaded. Check your connection and reload the page.");
    }
  });
  setTimeout(() => {
    if (!started) {
      fail("This takes longer than it should. Wait a little on a slow connection, or reload the page.");
    }
  }, PATIENCE_MS);
})();
