//! Hint: the library rendered 7 more pages after its cancel

use std::ops::ControlFlow::{Break, Continue};

use course::exercise::tool::{Context, Outcome};
use tokio::task::spawn_blocking;

use crate::check::Library;

pub async fn render(pages: u32, library: Library, ctx: Context) -> Outcome {
    let stop = ctx.ct.clone();
    let on_page =
        move |page| if page % 10 == 0 && stop.is_cancelled() { Break(()) } else { Continue(()) };
    let rendered = spawn_blocking(move || library.render(pages, on_page)).await?;
    Ok((rendered == pages).then(|| format!("rendered {rendered} pages")))
}
