//! Hint: the library rendered 37 more pages after its cancel

use std::ops::ControlFlow::Continue;

use course::exercise::tool::{Context, Outcome};
use tokio::task::spawn_blocking;

use crate::check::Library;

pub async fn render(pages: u32, library: Library, _ctx: Context) -> Outcome {
    let rendered = spawn_blocking(move || library.render(pages, |_| Continue(()))).await?;
    Ok(Some(format!("rendered {rendered} pages")))
}
