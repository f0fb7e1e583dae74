//! Hint: your code blocks its thread

use std::ops::ControlFlow::{Break, Continue};

use course::exercise::tool::{Context, Outcome};

use crate::check::Library;

pub async fn render(pages: u32, library: Library, ctx: Context) -> Outcome {
    let on_page = |_| if ctx.ct.is_cancelled() { Break(()) } else { Continue(()) };
    let rendered = library.render(pages, on_page);
    Ok((rendered == pages).then(|| format!("rendered {rendered} pages")))
}
