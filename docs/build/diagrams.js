// Draws the diagrams of a page. mermaid is large, so only pages that have diagrams load it.
(() => {
    const blocks = document.querySelectorAll("code.language-mermaid");
    if (blocks.length === 0) return;
    for (const block of blocks) {
        const diagram = document.createElement("div");
        diagram.className = "mermaid";
        diagram.textContent = block.textContent;
        block.closest("pre").replaceWith(diagram);
    }
    const script = document.createElement("script");
    // mdBook sets `path_to_root` on each page.
    script.src = path_to_root + "mermaid.min.js";
    script.onload = () => {
        mermaid.initialize({ startOnLoad: false, theme: "neutral" });
        mermaid.run();
    };
    document.body.append(script);
})();
